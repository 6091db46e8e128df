"""Which checkpoint of a run is evaluated."""

from pathlib import Path


def choose_checkpoint(run: Path, step: int | None) -> tuple[Path, int]:
    """The finished checkpoint of `step`, or the newest, and its step. ValueError where there is none."""
    there = _finished_checkpoints(run)
    if not there:
        raise ValueError(f"{run / 'checkpoints'}: holds no checkpoint; train longer than checkpoint_every steps")
    if step is not None and step not in there:
        raise ValueError(f"--checkpoint {step}: {run} has checkpoints of steps {', '.join(map(str, there))}")
    chosen = max(there) if step is None else step
    return there[chosen], chosen


def _finished_checkpoints(run: Path) -> dict[int, Path]:
    """By their step."""
    from pipeline.training.checkpoint import complete  # torch

    return {int(path.name.removeprefix("step-")): path for path in complete(run / "checkpoints")}
