"""Which checkpoint of a run is evaluated, or its selected weights."""

from pathlib import Path

from pipeline.runs.checkpoints import SELECTED_FILE, checkpoint_step, finished_checkpoints

SELECTED = "selected"  # value of --weights: those of the best evaluation


def choose_checkpoint(run: Path, step: int | None) -> tuple[Path, int]:
    """The finished checkpoint of `step`, or the newest, and its step. ValueError where there is none."""
    there = {checkpoint_step(path): path for path in finished_checkpoints(run / "checkpoints")}
    if not there:
        raise ValueError(f"{run / 'checkpoints'}: holds no checkpoint; train longer than checkpoint_every steps")
    if step is not None and step not in there:
        raise ValueError(f"--checkpoint {step}: {run} has checkpoints of steps {', '.join(map(str, there))}")
    chosen = max(there) if step is None else step
    return there[chosen], chosen


def check_selected(run: Path, step: int | None) -> None:
    """ValueError where the run has selected no weights, or a `step` of other weights is asked for as well."""
    if step is not None:
        raise ValueError(f"--checkpoint {step}: --weights {SELECTED} are of one step; leave --checkpoint out")
    if not (run / SELECTED_FILE).is_file():
        raise ValueError(
            f"--weights {SELECTED}: {run / SELECTED_FILE} is missing; train with evaluation.select=best_validation"
        )
