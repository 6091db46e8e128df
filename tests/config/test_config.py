"""Options: precedence, strictness, one clear line for each mistake."""

from pathlib import Path

import pytest
import yaml

from pipeline import config
from pipeline.config import generator
from pipeline.config.presets import BUDGETS, PAPER_STEPS, RECIPES

ROOT = Path(__file__).parents[2]


def load(text: str, *sets: str, tmp_path: Path) -> config.Config:
    path = tmp_path / "c.yaml"
    path.write_text(text)
    return config.load(path, sets)


def test_precedence(tmp_path: Path) -> None:
    """defaults < recipe < budget < YAML < --set."""
    assert config.load(None, ["dataset=x"]).steps == PAPER_STEPS
    assert load("dataset: x\nbudget: smoke", tmp_path=tmp_path).steps == 300
    assert load("dataset: x\nbudget: smoke\nsteps: 7", tmp_path=tmp_path).steps == 7
    assert load("dataset: x\nbudget: smoke\nsteps: 7", "steps=8", tmp_path=tmp_path).steps == 8
    assert load("dataset: x\nbudget: smoke", "budget=hour", tmp_path=tmp_path).steps == 4000


def test_sections_merge(tmp_path: Path) -> None:
    made = load("dataset: x\nbatch: {labelled: 16}\nema.decay: 5e-1", "batch.ratio=3", tmp_path=tmp_path)
    assert (made.batch.labelled, made.batch.ratio, made.unlabelled_batch, made.ema.decay) == (16, 3, 48, 0.5)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("stpes=3", "stpes: unknown option; did you mean steps?"),
        ("model.nam=x", "did you mean model.name?"),
        ("momntum=1", "did you mean optimizer.momentum?"),
        ("algorithm=fixmach", "did you mean fixmatch?"),
        ("recipe=papr", "did you mean paper?"),
        ("budget=week", "known: smoke, hour, day, paper"),
        ("steps=many", "steps: expected int, got 'many'"),
        ("steps=1.5", "steps: expected int"),
        ("steps=true", "steps: expected int"),
        ("steps=0", "steps: must be at least 1"),
        ("unlabelled.include_labelled=1", "expected bool"),
        ("optimizer.lr=.inf", "expected float"),
        ("batch=3", "batch: unknown option"),
        ("steps", "expected name=value"),
        ("steps={", "--set steps={: the value is not YAML ("),
        ("out.x=1", "out.x: unknown option"),
    ],
)
def test_mistakes_are_named(setting: str, message: str) -> None:
    with pytest.raises(ValueError, match=r"^[^\n]*$") as error:
        config.load(None, ["dataset=x", setting])
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        (["seed=1"], "dataset is not set"),
        (["mix=calibratemix", "steps=100", "warmup_steps=100"], "would never mix"),
        (["mix=calibratemix", "batch.labelled=1"], "easy and hard half"),
        (["algorithm=supervised", "mix=all"], "mix=all needs unlabelled images"),
        (
            ["algorithm=supervised", "mix=random", "mixing.members=unlabelled"],
            "mixing.members=unlabelled needs unlabelled",
        ),
        (["mixing.double_base=true"], "needs mixing.second_pass=joint"),
        (["mixing.second_pass=joint", "forward=observe"], "needs forward=joint"),
        (["mix=all", "mixing.halves=median"], "halves by rank"),
        (["mixing.lambda_from=fixed", "mixing.alpha=2"], "between 0 and 1"),
        (["mixing.all_pairs=LE+XX"], r"unknown \['LE\+XX'\]"),
        (["mixing.all_pairs=''"], "write pairs of LE"),
        (["label_smoothing=1"], "must be below 1"),
        (["mixing.k_percent=5", "mixing.k_count=15"], "set exactly one"),
        (["mixing.k_percent=null"], "set exactly one"),
        (["algorithm=softmatch", "batch.labelled=1", "batch.ratio=1"], "variance of a batch's confidences"),
        (["recipe=release", "mix=random"], "released none for mix=random"),
        (["recipe=release", "mix=all"], "released none for mix=all"),
        (["epochs=3"], "epochs counts passes over the labelled images, which algorithm=fixmatch"),
        (["eval_every=null"], "eval_every=null counts passes"),
        (["optimizer.schedule=step", "optimizer.milestones=2"], "optimizer.schedule=step counts passes"),
        (["optimizer.schedule=step"], "optimizer.milestones='': optimizer.schedule=step needs rising epochs"),
        (["optimizer.schedule=step", "optimizer.milestones=9 3"], "needs rising epochs"),
        (["optimizer.schedule=step", "optimizer.milestones=9 x"], "needs rising epochs"),
        (["algorithm=supervised", "epochs=3", "optimizer.warmup_epochs=3"], "must be below epochs=3"),
        (["model.weights=timm"], "model.weights=timm is for networks of timm, model.name=wrn-28-2 is none"),
        (["optimizer.layer_decay=0.5"], "optimizer.layer_decay is for networks of timm"),
        (["augment.normalisation=timm"], "augment.normalisation=timm is for networks of timm"),
        (["model.name=timm/x", "model.norm=group"], "networks of timm keep their own norms"),
        (["model.name=timm/x", "optimizer.layer_decay=1.5"], "must be at most 1"),
        (["model.name=timm/x", "model.drop_path=1"], "must be below 1"),
        (["model.freeze_norm=true"], "set model.weights"),
        (["optimizer.warmup_steps=3", "optimizer.warmup_epochs=1", "algorithm=supervised"], "set one of them"),
        (["optimizer.warmup_steps=9", "steps=9"], "optimizer.warmup_steps=9 must be below steps=9"),
        (["unlabelled.include_validation=true", "algorithm=supervised"], "reads no unlabelled image"),
        (["unlabelled.include_validation=true", "evaluation.select=best_validation"], "select=best_validation chooses"),
        (["unlabelled.include_validation=true", "evaluation.stop_at=error<=5"], "stop_at=error<=5 chooses"),
        (["augmented.per_image=9"], "augmented.per_image=9: must be at most 8"),
        (["augmented.labels=one_hot", "augmented.per_image=3"], "of which there are two, not augmented.per_image=3"),
        (["augmented.normalise_by_classes=true", "augmented.loss=ce"], "is for augmented.loss=l2, not ce"),
        (["augmented.equal_data=true"], "set augmented.dataset, or leave it out"),
        (["augmented.equal_data=true", "augmented.dataset=x"], "set epochs, or leave it out"),
        (
            ["algorithm=supervised", "mix=manifold", "augmented.dataset=x", "augmented.forward=joint"],
            "choose augmented.forward=separate",
        ),
    ],
)
def test_impossible_combinations(sets: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        config.load(None, sets if sets == ["seed=1"] else ["dataset=x", *sets])


@pytest.mark.parametrize(("text", "message"), [("[1]", "holds no options"), ("a: [", "not YAML")])
def test_broken_files(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        load(text, tmp_path=tmp_path)
    with pytest.raises(ValueError, match="cannot be read"):
        config.load(tmp_path / "missing.yaml")
    (tmp_path / "latin-1.yaml").write_bytes(b"dataset: caf\xe9")
    with pytest.raises(ValueError, match=r"latin-1\.yaml: not YAML"):
        config.load(tmp_path / "latin-1.yaml")


def test_warmup_is_a_share_of_the_steps() -> None:
    assert config.load(None, ["dataset=x"]).warmup == 102400
    assert config.load(None, ["dataset=x", "steps=1000"]).warmup == 98
    assert config.load(None, ["dataset=x", "steps=1000", "warmup_steps=3"]).warmup == 3


FILES = sorted((ROOT / "configs").glob("*.yaml"))
GENERATORS = [path for path in FILES if path.stem.startswith("generator_")]
CONFIGS = [path for path in FILES if path not in GENERATORS and "\nblocks:" not in path.read_text()]  # no grid


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: p.stem)
def test_every_shipped_config_loads(path: Path) -> None:
    assert config.load(path).dataset


@pytest.mark.parametrize("path", GENERATORS, ids=lambda p: p.stem)
def test_every_shipped_config_of_a_generator_loads(path: Path) -> None:
    assert generator.load(path).dataset


def test_presets_name_options_only() -> None:
    for preset in [*RECIPES.values(), *BUDGETS.values()]:
        config.build({"dataset": "x", **preset})


def test_recipes_are_sets_of_options() -> None:
    """FACTS section 5: where the authors' code and the paper's equations differ."""
    paper, release = (config.load(None, ["dataset=x", f"recipe={name}"]) for name in ("paper", "release"))
    assert (paper.warmup, release.warmup) == (102400, 150000)
    assert (paper.forward, release.forward) == ("joint", "joint")
    assert (paper.mixing.second_pass, release.mixing.second_pass) == ("alone", "joint")
    assert (paper.mixing.similarity, release.mixing.similarity) == ("feature", "pixel")
    assert (paper.mixing.k_count, release.mixing.k_count) == (None, 15)
    assert (paper.mixing.loss, release.mixing.loss, release.mixing.weight) == ("ce", "bce", 2)
    assert (paper.mixing.double_base, release.mixing.double_base) == (False, True)
    assert (paper.mixing.apm_in_warmup, release.mixing.apm_in_warmup) == (True, False)


@pytest.mark.parametrize(
    ("sets", "expected"),
    [
        ([], (5.0, None)),
        (["mixing.k_count=3"], (None, 3)),
        (["recipe=release"], (None, 15)),
        (["recipe=release", "mixing.k_percent=10"], (10.0, None)),
        (["recipe=release", "mixing.k_percent=0"], (0.0, None)),
        (["recipe=release", "mixing.k_count=30"], (None, 30)),
    ],
)
def test_the_number_of_candidates_is_what_was_said_last(sets: list[str], expected: tuple[float, int]) -> None:
    """A recipe's k_count once beat a k_percent that was asked for, in silence."""
    mixing = config.load(None, ["dataset=x", *sets]).mixing
    assert (mixing.k_percent, mixing.k_count) == expected


def test_supervised_training_reads_no_unlabelled_images() -> None:
    assert config.load(None, ["dataset=x", "algorithm=supervised"]).unlabelled_batch == 0
    assert config.load(None, ["dataset=x"]).unlabelled_batch == 448


def test_saved_config_loads_as_itself(tmp_path: Path) -> None:
    made = config.load(None, ["dataset=x", "labels=10pct", "augment.flip=false", "budget=smoke"])
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(made.to_dict()))
    assert config.load(tmp_path / "config.yaml") == made
