"""Which checkpoint of a run is evaluated."""

from pathlib import Path

from pipeline.runs.checkpoints import checkpoint_step, finished_checkpoints


def choose_checkpoint(run: Path, step: int | None) -> tuple[Path, int]:
    """The finished checkpoint of `step`, or the newest, and its step. ValueError where there is none."""
    there = {checkpoint_step(path): path for path in finished_checkpoints(run / "checkpoints")}
    if not there:
        raise ValueError(f"{run / 'checkpoints'}: holds no checkpoint; train longer than checkpoint_every steps")
    if step is not None and step not in there:
        raise ValueError(f"--checkpoint {step}: {run} has checkpoints of steps {', '.join(map(str, there))}")
    chosen = max(there) if step is None else step
    return there[chosen], chosen
