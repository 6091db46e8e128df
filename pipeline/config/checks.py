"""Combinations of options that make no sense: a ``ValueError`` of one line with the remedy."""

from pipeline.config.options import LABELLED_MIXES, LABELLED_ONLY, Config
from pipeline.config.sections import STOPPING, TIMM

PARTS = ("LE", "LH", "UE", "UH")  # of a batch: labelled and unlabelled, easy and hard
REPLACING_MIXES = ("mixup", "manifold")  # learn mixed labels under loss.name
MOST_PER_IMAGE = 8  # places of a group in the paper
LAYERS = ("0", "1", "2")  # where manifold mixup mixes: images, or after the first stages of a network


def check(config: Config) -> None:
    """Whatever can be told from the options alone. Raises ValueError."""
    if not config.dataset:
        raise ValueError("dataset is not set: name a data folder made by dataprep/make_beton.py")
    if config.model.dropout >= 1:
        raise ValueError(f"model.dropout={config.model.dropout}: must be below 1")
    if config.label_smoothing >= 1:
        raise ValueError(f"label_smoothing: must be below 1, got {config.label_smoothing}; the paper uses 0.1")
    _check_network(config)
    _check_warm_up(config)
    if config.mix != "none":
        _check_mix(config)
    _check_mixing(config)
    _check_candidates(config)
    _check_epochs(config)
    _check_augmented(config)
    _check_evaluation(config)
    if config.algorithm == "softmatch" and config.unlabelled_batch < 2:
        raise ValueError(
            "algorithm=softmatch follows the variance of a batch's confidences, and one unlabelled image has none: "
            "raise batch.labelled or batch.ratio"
        )


def _check_network(config: Config) -> None:
    """What only networks of timm have, and what they lack."""
    model, is_timm = config.model, config.model.name.startswith(TIMM)
    asked = {
        "model.weights=timm": model.weights == "timm",
        "model.patch_size": model.patch_size is not None,
        "model.drop_path": model.drop_path is not None,
        "augment.normalisation=timm": config.augment.normalisation == "timm",
        "optimizer.layer_decay": config.optimizer.layer_decay != 1,
    }
    if not is_timm and (named := [name for name, value in asked.items() if value]):
        raise ValueError(f"{named[0]} is for networks of timm, model.name={model.name} is none: leave it out")
    if is_timm and model.norm != "batch":
        raise ValueError(f"model.norm={model.norm}: networks of timm keep their own norms; leave it out")
    if (model.drop_path or 0) >= 1:
        raise ValueError(f"model.drop_path={model.drop_path}: must be below 1")
    if config.optimizer.layer_decay > 1:
        raise ValueError(f"optimizer.layer_decay={config.optimizer.layer_decay}: must be at most 1")
    if model.freeze_norm and not model.weights:
        raise ValueError("model.freeze_norm=true keeps batch norm as it is loaded, and nothing is: set model.weights")


def _check_warm_up(config: Config) -> None:
    options = config.optimizer
    if options.warmup_steps and options.warmup_epochs:
        raise ValueError("optimizer.warmup_steps and optimizer.warmup_epochs: set one of them")
    if options.warmup_steps >= config.steps and not config.epochs:
        raise ValueError(f"optimizer.warmup_steps={options.warmup_steps} must be below steps={config.steps}")


def _check_epochs(config: Config) -> None:
    """Epochs are passes over the labelled images, of which semi-supervised training makes thousands."""
    options = config.optimizer
    try:
        milestones = options.milestone_epochs
    except ValueError:
        milestones = []
    if options.schedule == "step" and (not milestones or milestones != sorted(milestones)):
        raise ValueError(
            f"optimizer.milestones={options.milestones!r}: optimizer.schedule=step needs rising epochs such as '60 120'"
        )
    counted = {
        "epochs": config.epochs,
        "optimizer.warmup_epochs": options.warmup_epochs,
        "optimizer.schedule=step": options.schedule == "step",
        **{f"{n}=null": getattr(config, n) is None for n in ("log_every", "eval_every", "checkpoint_every")},
    }
    named = [name for name, value in counted.items() if value]
    if named and config.algorithm not in LABELLED_ONLY:
        raise ValueError(
            f"{named[0]} counts passes over the labelled images, which algorithm={config.algorithm} makes by the "
            "thousand: give steps, or choose algorithm=supervised"
        )
    if config.epochs and options.warmup_epochs >= config.epochs:
        raise ValueError(f"optimizer.warmup_epochs={options.warmup_epochs:g} must be below epochs={config.epochs}")


def _check_augmented(config: Config) -> None:
    """What the data folder of generated images need not be asked."""
    options = config.augmented
    if options.per_image > MOST_PER_IMAGE:
        raise ValueError(f"augmented.per_image={options.per_image}: must be at most {MOST_PER_IMAGE}")
    if options.labels == "one_hot" and options.per_image > 2:
        raise ValueError(
            f"augmented.labels=one_hot draws ends of a group, of which there are two, not "
            f"augmented.per_image={options.per_image}: choose 1 or 2, or other labels"
        )
    if options.normalise_by_classes and options.loss != "l2":
        raise ValueError(
            f"augmented.normalise_by_classes=true is for augmented.loss=l2, not {options.loss}: leave one of them out"
        )
    if options.equal_data and not (options.dataset and config.epochs):
        missing = "epochs" if options.dataset else "augmented.dataset"
        raise ValueError(
            f"augmented.equal_data=true shortens epochs by generated images: set {missing}, or leave it out"
        )
    if options.dataset and options.forward == "joint" and config.mix == "manifold":
        raise ValueError(
            "augmented.forward=joint: mix=manifold mixes what is forwarded with it; choose augmented.forward=separate"
        )


def _check_evaluation(config: Config) -> None:
    options = config.evaluation
    try:
        _ = options.goal
    except ValueError:
        known = ", ".join(STOPPING)
        raise ValueError(f"evaluation.stop_at={options.stop_at!r}: write METRIC<=VALUE with one of {known}") from None
    if options.select == "best_validation" and config.validation == 0:
        raise ValueError("evaluation.select=best_validation needs validation images: set validation=N, or null")
    if config.unlabelled.include_validation:
        _check_included_validation(config)


def _check_included_validation(config: Config) -> None:
    """They are to tell how far pseudo-labels can be trusted: no choice may hang on their labels."""
    options = config.evaluation
    if config.algorithm in LABELLED_ONLY:
        raise ValueError(
            f"unlabelled.include_validation=true: algorithm={config.algorithm} reads no unlabelled image; leave it out"
        )
    if options.select == "best_validation" or options.stop_at:
        chosen = "select=best_validation" if options.select == "best_validation" else f"stop_at={options.stop_at}"
        raise ValueError(
            f"evaluation.{chosen} chooses by the labels of validation images, which then cannot tell how far to trust "
            "the network: leave it out, or unlabelled.include_validation"
        )


def _check_candidates(config: Config) -> None:
    """One of k_percent and k_count says how many candidates there are."""
    mixing = config.mixing
    if (mixing.k_percent is None) == (mixing.k_count is None):
        raise ValueError(
            f"mixing.k_percent={mixing.k_percent} and mixing.k_count={mixing.k_count}: set exactly one of them, the "
            "other to null"
        )


def _check_mix(config: Config) -> None:
    if config.warmup >= config.steps:
        raise ValueError(
            f"warmup_steps ({config.warmup}) >= steps ({config.steps}): mix={config.mix} would never mix; "
            "lower warmup_steps or set mix=none"
        )
    if config.recipe == "release" and config.mix != "calibratemix":
        raise ValueError(
            f"recipe=release is the authors' code for mix=calibratemix, and they released none for mix={config.mix}: "
            "choose recipe=paper"
        )
    if config.mix in LABELLED_MIXES and config.algorithm not in LABELLED_ONLY:
        raise ValueError(
            f"mix={config.mix} mixes labelled images alone: choose algorithm=supervised, or mix=random for "
            f"algorithm={config.algorithm}"
        )
    if config.batch.labelled < 2:
        raise ValueError(f"batch.labelled=1 leaves no easy and hard half for mix={config.mix}: use 2 or more")
    if config.unlabelled_batch:
        return
    if config.mix == "all" or config.mixing.members == "unlabelled":
        wanted = "mix=all" if config.mix == "all" else "mixing.members=unlabelled"
        raise ValueError(
            f"{wanted} needs unlabelled images, which algorithm={config.algorithm} does not read; "
            "choose mix=calibratemix or mix=random with mixing.members=both"
        )


def _check_mixing(config: Config) -> None:
    mixing = config.mixing
    if config.mix in REPLACING_MIXES and config.loss.name == "mmce" and mixing.targets == "mixed":
        raise ValueError(
            "loss.name=mmce asks whether an answer is right, which mixed labels do not say: choose "
            "mixing.targets=nearer, mix=regmixup or another loss.name"
        )
    if mixing.targets == "nearer" and mixing.loss == "bce":
        raise ValueError("mixing.loss=bce needs the distributions of mixing.targets=mixed")
    if mixing.double_base and mixing.second_pass != "joint":
        raise ValueError("mixing.double_base=true needs mixing.second_pass=joint, as recipe=release has it")
    if mixing.second_pass == "joint" and config.forward != "joint":
        raise ValueError(f"mixing.second_pass=joint needs forward=joint: forward={config.forward} has no joint pass")
    if config.mix == "all" and mixing.halves == "median":
        raise ValueError("mixing.halves=median is for mix=calibratemix; mix=all needs halves by rank")
    if mixing.lambda_from == "fixed" and mixing.alpha > 1:
        raise ValueError(f"mixing.alpha={mixing.alpha}: a fixed lambda lies between 0 and 1")
    if not (chosen := mixing.layers.split()) or not set(chosen) <= set(LAYERS):
        raise ValueError(f"mixing.layers={mixing.layers!r}: write some of {', '.join(LAYERS)}, like '0 1 2'")
    known = [f"{a}+{b}" for a in PARTS for b in PARTS if a != b]
    if wrong := [pair for pair in mixing.all_pairs.split() if pair not in known] or not mixing.all_pairs.split():
        raise ValueError(f"mixing.all_pairs: unknown {wrong}; write pairs of {', '.join(PARTS)} like 'LE+LH LE+UH'")
