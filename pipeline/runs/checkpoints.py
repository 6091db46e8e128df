"""Where a run's checkpoints lie: ``checkpoints/step-00001234/``, finished once its manifest is there."""

import re
from pathlib import Path

MANIFEST = "manifest.json"
SELECTED_FILE = "selected.pt"  # beside checkpoints/: weights of the best evaluation, by evaluation.select


def checkpoint_folder(step: int) -> str:
    """The name of the checkpoint of ``step``."""
    return f"step-{step:08d}"


def checkpoint_step(checkpoint: Path) -> int:
    """The step of a checkpoint, by its name."""
    return int(checkpoint.name.removeprefix("step-"))


def checkpoints(folder: Path) -> list[Path]:
    """Every checkpoint in ``checkpoints/``, oldest first, damaged ones included."""
    return sorted((p for p in folder.glob("step-*") if re.fullmatch(r"step-\d+", p.name)), key=checkpoint_step)


def finished_checkpoints(folder: Path) -> list[Path]:
    """The finished ones in ``checkpoints/``, oldest first."""
    return [path for path in checkpoints(folder) if (path / MANIFEST).is_file()]


def last_saved_step(folder: Path) -> int:
    """The step that a run with these ``checkpoints/`` resumes from; 0 where none is finished."""
    return max(map(checkpoint_step, finished_checkpoints(folder)), default=0)
