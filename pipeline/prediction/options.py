"""What the user asks for: the options of predict.py as plain values."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class PredictOptions:
    """The command line of predict.py; see its --help. `coverage`: of the sets, where `sets` names a method."""

    run: Path
    images: tuple[Path, ...] = ()
    pool: bool = False
    out: Path = Path("predictions.csv")
    raw: bool = False
    accept: float | None = None
    sets: str | None = None
    coverage: float = 0.9
    probability_of: tuple[str, ...] = ()
    precision: str = "fp32"
    weights: str | None = None
    checkpoint: int | None = None
    data: str | None = None
    workers: int = 1
    batch: int | None = None
