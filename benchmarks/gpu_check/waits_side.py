"""In a process of its own: steps of every method while CUDA itself raises where the host waits for the device.

python waits_side.py data=DATA RESULT.json
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

from pipeline.runs.host_tuning import tune_host

tune_host()

import ours  # noqa: E402
import torch  # noqa: E402

from gpu_check import cover  # noqa: E402
from pipeline.methods.step_types import Inputs  # noqa: E402
from pipeline.training.training_run import TrainingRun  # noqa: E402

FIRST, LAST = 4, 10  # steps between which nothing may wait; before, kernels are searched and memory is taken
OPTIONS = (
    "recipe=release", "forward=observe", "precision=fp32", "precision=tf32", "precision=fp16", "model.norm=group",
    "mixing.similarity=pixel", "mixing.halves=median", "mixing.aum=ema", "ema.buffers=average",
)  # fmt: skip
DIGITS = ["dataset=digits", "labels=4", "model.name=wrn-10-1", "batch.labelled=16", "steps=1000", "warmup_steps=1"]
QUIET = [f"{name}_every=100000" for name in ("log", "eval", "checkpoint")]


def feed(run: TrainingRun) -> Iterator[Inputs]:
    """Batches until LAST, CUDA watching from FIRST on."""
    try:
        for inputs in TrainingRun.inputs(run):
            if inputs.step == FIRST:
                torch.cuda.set_sync_debug_mode("error")
            if inputs.step == LAST:
                raise ours.Enough
            yield inputs
    finally:
        torch.cuda.set_sync_debug_mode("default")


def cases() -> list[list[str]]:
    """Every algorithm with every mix; CalibrateMix with more options."""
    found = {tuple(f"{name}={case[name]}" for name in ("algorithm", "mix")) for case in cover.methods()}
    return [*map(list, sorted(found)), *(["mix=calibratemix", option] for option in OPTIONS)]


def main() -> None:
    """One line of error by case, empty where it ran."""
    data, result = sys.argv[1:]
    errors = {}
    for number, sets in enumerate(cases()):
        try:
            ours.drive([data, *DIGITS, *QUIET, *sets], Path(result).with_name(f"waits-{number}"), feed)
            errors[" ".join(sets)] = ""
        except Exception as error:
            errors[" ".join(sets)] = f"{type(error).__name__}: {str(error).splitlines()[0]}"
    Path(result).write_text(json.dumps(errors))


if __name__ == "__main__":
    main()
