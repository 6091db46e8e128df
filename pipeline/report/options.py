"""What the user asks of a report: the options of evaluate.py as plain values."""

import os
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class ResamplingConfig:
    """How many test sets are drawn for the intervals and for the simulated floor; the seed alone decides which."""

    draws: int = 1000
    floor_draws: int = 200
    seed: int = 0


@dataclass(frozen=True)
class ReportOptions:
    """The command line of evaluate.py; see its --help."""

    runs: tuple[Path, ...]
    data: str | None = None
    weights: str | None = None
    checkpoint: int | None = None
    ood: tuple[str, ...] = ()
    fit_on: str | None = None
    methods: tuple[str, ...] = ("temperature", "vector", "isotonic")
    images: int = 5000
    mc_dropout: int = 0  # passes; 0: none
    tta: int = 0  # weak views; 0: none
    piece: bool = False
    ensemble: tuple[Path, ...] | None = None  # its members; () means all runs
    hull_walk: int = 0  # images
    out: Path | None = None
    resampling: ResamplingConfig = field(default_factory=ResamplingConfig)

    @property
    def chooses_checkpoint(self) -> bool:
        """predictions.npz will not do: the user asks for the network of some checkpoint."""
        return self.weights is not None or self.checkpoint is not None

    @property
    def ood_images(self) -> tuple[str, ...]:
        """Those of `ood` that are images, for which a network is needed; the others are files of logits."""
        return tuple(name for name in self.ood if not name.endswith(".npz"))

    @property
    def needs_network(self) -> bool:
        """The user asks for what predictions.npz does not say."""
        return bool(self.ood_images or self.data or self.mc_dropout or self.tta or self.piece or self.hull_walk)


def report_folder(options: ReportOptions) -> Path:
    """`--out`, or `report` in the run folder, beside a prediction file, or in the folder that all runs share.

    ValueError where it cannot be a folder.
    """
    folder = options.out or _default_folder(options.runs)
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder}: is a file, not a folder; choose another folder with --out")
    return folder


def _default_folder(runs: tuple[Path, ...]) -> Path:
    if len(runs) == 1:
        return (runs[0] if runs[0].is_dir() else runs[0].parent) / "report"
    return Path(os.path.commonpath([run.resolve().parent for run in runs])) / "report"
