"""Which combinations of options are tried: all of them, or few that hold every pair of values."""

import itertools
from collections.abc import Iterator, Mapping, Sequence

from pipeline import config as configuration
from pipeline.config.options import ALGORITHMS, FORWARDS, MIXES, PRECISIONS
from pipeline.config.presets import RECIPES

Case = dict[str, str]  # value by option; "ranks" is none
METHOD = {"algorithm": ALGORITHMS, "mix": MIXES, "recipe": tuple(RECIPES), "forward": FORWARDS}
NUMBERS = tuple(name for name in PRECISIONS if name != "auto")
REST = {"precision": NUMBERS, "ranks": ("1", "8"), "model.norm": ("batch", "group")}
KINDS = ("wrn-10-1", "wrn-37-2", "resnet-50")  # one of each family: depth and width are more of the same
SMALL = ("wrn-10-1", "resnet-18")  # both families in few operations
SINGLE = (
    "mixing.similarity=pixel", "mixing.similarity=logit", "mixing.halves=median", "mixing.scope=local",
    "mixing.aum=ema", "mixing.lambda_per=pair", "mixing.lambda_per=step", "mixing.lambda_from=fixed",
    "mixing.fold_max=true", "mixing.views=strong", "mixing.loss=bce", "mixing.k_percent=0",
    "mixing.k_count=15 mixing.k_percent=null", "mixing.per_labelled=2", "mixing.min_confidence=0.5",
    "mixing.update_bn=false", "mixing.apm_in_warmup=false", "label_smoothing=0.1",
    "label_smoothing=0.1 smoothing.form=others", "ema.buffers=average", "unlabelled.include_labelled=false",
    "optimizer.clip=2", "unlabelled.weight=0", "algorithm=flexmatch unlabelled.threshold_warmup=false",
    "optimizer.momentum=0", "mix=all mixing.all_k_percent=5", "mix=random mixing.members=labelled",
    "model.dead_preactivation=false", "recipe=release mixing.second_pass=alone mixing.double_base=false",
    "augmented.dataset=x ranks=8", "augmented.dataset=x augmented.labels=zero_shot augmented.loss=ce forward=observe",
    "augmented.dataset=x augmented.labels=ratio augmented.loss=focal augmented.forward=joint",
    "algorithm=supervised mix=mixup augmented.dataset=x augmented.labels=one_hot",
    "algorithm=supervised mix=manifold mixing.layers=1", "algorithm=supervised mix=manifold mixing.layers=2 ranks=8",
)  # fmt: skip


def product(networks: Sequence[str] = KINDS) -> list[Case]:
    """Every method on every kind of network in every precision on 1 and 8 ranks, with batch norm.

    But for tf32, which is fp32 with a flag of cuDNN.
    """
    cases = _everything(networks)
    return [case for case in cases if case["model.norm"] == "batch" and case["precision"] != "tf32"]


def pairwise(networks: Sequence[str] = SMALL) -> list[Case]:
    """Few combinations in which any two values of any two options meet at least once, where that is possible."""
    cases = _everything(networks)
    pairs = [set(itertools.combinations(case.items(), 2)) for case in cases]
    number = {pair: n for n, pair in enumerate(set().union(*pairs))}
    holds = [sum(1 << number[pair] for pair in each) for each in pairs]
    chosen, missing = [], (1 << len(number)) - 1
    while missing:
        best = max(range(len(cases)), key=lambda n: (holds[n] & missing).bit_count())
        chosen.append(cases[best])
        missing &= ~holds[best]
    return chosen


def single_options() -> list[Case]:
    """CalibrateMix on a small network with one more option each."""
    small = {"mix": "calibratemix", "model.name": "wrn-10-1", "precision": "bf16"}
    return [{**small, **dict(word.split("=") for word in words.split())} for words in SINGLE]


def methods() -> list[Case]:
    """The combinations of METHOD that the options themselves allow."""
    return [case for case in _all(METHOD) if _possible(case)]


def settings(case: Mapping[str, str]) -> tuple[list[str], int]:
    """(options as words, ranks)."""
    return [f"{name}={value}" for name, value in case.items() if name != "ranks"], int(case.get("ranks", 1))


def _everything(networks: Sequence[str]) -> list[Case]:
    return [{**method, **case} for method in methods() for case in _all({"model.name": networks, **REST})]


def _all(options: Mapping[str, Sequence[str]]) -> Iterator[Case]:
    for values in itertools.product(*options.values()):
        yield dict(zip(options, values, strict=True))


def _possible(case: Case) -> bool:
    try:
        configuration.load(None, ["dataset=x", *settings(case)[0]])
    except ValueError:
        return False
    return True
