"""Every kind of state survives an interruption: other algorithms, mixes and the release recipe."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.distributed import Ranks
from pipeline.training.step import Inputs
from pipeline.training.training_run import TrainingRun
from tests.support.launch import digits, lines, result
from tests.support.ranks import alone
from tests.support.recorder import run
from tests.support.soft_labelled import NAME, put_groups

METHODS = {
    "supervised": ("algorithm=supervised", "mix=calibratemix", "mixing.aum=ema"),
    "random": ("algorithm=fixmatch", "mix=random"),
    "all": ("algorithm=flexmatch", "mix=all", "unlabelled.threshold=0.2"),
    "mixup": ("algorithm=supervised", "mix=mixup", "loss.name=focal", "model.dropout=0.3"),
    "manifold": ("algorithm=supervised", "mix=manifold", "loss.name=mbls"),
    "adamw": (
        "algorithm=fixmatch", "mix=calibratemix", "model.name=timm/test_vit", "model.drop_path=0.3",
        "optimizer.name=adamw", "optimizer.layer_decay=0.5", "optimizer.warmup_steps=3", "optimizer.lr=1e-3",
    ),
    "generated": ("algorithm=supervised", "mix=calibratemix", f"augmented.dataset={NAME}", "augmented.loss=focal"),
    "generated, joint": (
        "algorithm=softmatch", "mix=random", f"augmented.dataset={NAME}", "augmented.forward=joint",
        "augmented.labels=zero_shot", "augmented.per_image=3",
    ),
    "release": ("algorithm=softmatch", "mix=calibratemix", "recipe=release"),
}  # fmt: skip


class PulledPlug(Exception):
    """What ends the run in the middle."""


def interrupted(ranks: Ranks, given: list[str]) -> None:
    """Ends in step 7, after the checkpoint of step 4, with nothing closed."""
    whole = TrainingRun.inputs

    def some(self: TrainingRun) -> Iterator[Inputs]:
        for inputs in whole(self):
            if inputs.step == 6:
                raise PulledPlug
            yield inputs

    TrainingRun.inputs = some  # type: ignore[method-assign]
    try:
        with pytest.raises(PulledPlug):
            run(ranks, given)
    finally:
        TrainingRun.inputs = whole  # type: ignore[method-assign]


@pytest.fixture(scope="module")
def root(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The digits and generated images."""
    return put_groups(tmp_path_factory.mktemp("generated"), data)


@pytest.mark.slow
@pytest.mark.parametrize("name", METHODS)
def test_interrupted_and_started_again_it_ends_the_same(name: str, root: Path, tmp_path: Path) -> None:
    sets = (*METHODS[name], "warmup_steps=2", "steps=9", "eval_every=9", "precision=fp32")
    whole, broken = (digits(root, tmp_path / where, *sets) for where in ("whole", "broken"))
    alone(run, whole)
    alone(interrupted, broken)
    assert not (tmp_path / "broken/result.json").exists()
    alone(run, broken)
    assert lines(tmp_path / "broken") == lines(tmp_path / "whole")
    assert result(tmp_path / "broken") == result(tmp_path / "whole")
    wanted = {"loss_mix", "loss_augmented"} if "generated" in name else {"loss_mix"}
    assert any(all(line.get(term, 0) > 0 for term in wanted) for line in lines(tmp_path / "whole"))
    assert all(
        ("loss_augmented" in line) == ("generated" in name) for line in lines(tmp_path / "whole") if "loss" in line
    )
