"""Between log points nothing asks the device for a value: operations that would wait for it raise here."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from pipeline import config
from pipeline.config.options import LABELLED_MIXES
from pipeline.data.dataset import open_dataset
from pipeline.distributed import Ranks
from pipeline.methods.algorithms import ALGORITHMS
from pipeline.methods.mixes import MIXES
from pipeline.runs.folder import RunFolder
from pipeline.training import loop
from pipeline.training.interruption import Interruption
from pipeline.training.step import Inputs
from pipeline.training.training_run import TrainingRun
from tests.support.ranks import alone

ROOT = Path(__file__).parents[2]
STEPS = 4
METHODS = [
    (a, m)
    for a in ALGORITHMS
    for m in MIXES
    if (a, m) != ("supervised", "all") and (a == "supervised" or m not in LABELLED_MIXES)
]
# What on CUDA returns a number, or a tensor whose size depends on values, to the host.
WAITING = {
    torch.ops.aten._local_scalar_dense.default,
    torch.ops.aten.nonzero.default,
    torch.ops.aten.masked_select.default,
    torch.ops.aten.equal.default,
    torch.ops.aten.is_nonzero.default,
    torch.ops.aten._unique2.default,
    torch.ops.aten.unique_dim.default,
    torch.ops.aten.bincount.default,
    torch.ops.aten.repeat_interleave.Tensor,
}


class Enough(Exception):
    """Leaves the loop before its last step."""


class NoSyncs(TorchDispatchMode):
    """Raises at operations that wait for the device; counts the others."""

    count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        by_mask = func in (torch.ops.aten.index.Tensor, torch.ops.aten.index_put_.default) and any(
            i is not None and i.dtype == torch.bool for i in args[1]
        )
        if func in WAITING or by_mask:
            raise AssertionError(f"{func} waits for the device")
        self.count += 1
        return func(*args, **kwargs or {})


def guarded(ranks: Ranks, settings: config.Config) -> int:
    """Runs STEPS steps under NoSyncs; how many operations they were."""
    mode = NoSyncs()

    class Watched(TrainingRun):
        def inputs(self) -> Iterator[Inputs]:
            for inputs in super().inputs():
                if inputs.step == STEPS:
                    raise Enough
                with mode:  # while the loop works on the batch
                    yield inputs

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "TrainingRun", Watched)
        patch.setattr(Interruption, "agreed", lambda *_: False)  # on CUDA it reads what was copied steps before
        with pytest.raises(Enough):
            loop.train(settings, open_dataset(settings), ranks, RunFolder(settings))
    return mode.count


def settings(data: Path, out: Path, *sets: str) -> config.Config:
    never = [f"{name}_every=1000" for name in ("log", "eval", "checkpoint")]
    small = ["steps=1000", "warmup_steps=1", "threads=1", "batch.labelled=4", "model.name=wrn-10-1"]
    return config.load(str(ROOT / "configs/digits.yaml"), [f"data={data}", f"out={out}", *never, *small, *sets])


@pytest.mark.parametrize(("algorithm", "mix"), METHODS)
def test_no_method_waits_for_the_device(data: Path, tmp_path: Path, algorithm: str, mix: str) -> None:
    chosen = settings(data, tmp_path / "run", f"algorithm={algorithm}", f"mix={mix}")
    assert alone(guarded, chosen) > 100 * STEPS


@pytest.mark.parametrize(
    "sets", [["recipe=release"], ["forward=observe"], ["precision=fp32"], ["mixing.similarity=pixel"]]
)
def test_no_option_waits_for_the_device(data: Path, tmp_path: Path, sets: list[str]) -> None:
    assert alone(guarded, settings(data, tmp_path / "run", "mix=calibratemix", *sets)) > 100 * STEPS


def test_a_step_that_asks_is_caught(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = TrainingRun.agree
    monkeypatch.setattr(TrainingRun, "agree", lambda self, *args: (self.guard.broken.item(), original(self, *args))[1])
    with pytest.raises(AssertionError, match="_local_scalar_dense"):
        alone(guarded, settings(data, tmp_path / "run"))
