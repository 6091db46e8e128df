"""What a report is about: runs and prediction files, read and checked, with their networks where there are any."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.calibration.scores import check_predictions
from pipeline.calibration.sums import Ints
from pipeline.data.dataset import open_beton
from pipeline.distributed import Ranks
from pipeline.report.naming import run_names, short_folders
from pipeline.report.restore import Noise, Restored, restore
from pipeline.runs.read import (
    RUN_REMEDY,
    ece_bins,
    read_arrays,
    read_config,
    read_metrics,
    read_predictions,
    read_result,
)

MOST_NOISE = 2000
VALID_REMEDY = "write finite logits [N, C] and labels [N] from 0 to C - 1"


@dataclass
class Subject:
    """One run or prediction file. `restored` is its network, None where there is none (`note` says why)."""

    name: str
    path: Path
    config: dict[str, Any]
    logits: NDArray[Any]
    labels: Ints
    weights: str
    step: int | None
    restored: Restored | None
    note: str
    lines: list[dict[str, Any]] = field(default_factory=list)

    @property
    def bins(self) -> int:
        return ece_bins(self.config)

    def class_names(self) -> list[str]:
        """Names of the classes; their numbers where no data set tells."""
        names = self.restored.dataset.classes if self.restored else []
        return list(names) or [str(label) for label in range(self.logits.shape[1])]


@dataclass(frozen=True)
class Source:
    """How the user wants runs to be read."""

    data: str | None
    weights: str | None
    checkpoint: int | None
    needs_network: bool

    @property
    def chosen(self) -> bool:
        """A checkpoint was asked for, so predictions.npz will not do."""
        return self.weights is not None or self.checkpoint is not None


def read_subjects(paths: Sequence[Path], source: Source, ranks: Ranks) -> list[Subject]:
    """Every run, checked alone and against the first. ValueError naming the file and the remedy."""
    configs = [read_config(path / "config.yaml") if path.is_dir() else {} for path in paths]
    names = run_names(configs, paths)
    subjects = [_read(*each, source, ranks) for each in zip(names, paths, configs, strict=True)]
    first = subjects[0]
    for other in subjects[1:]:
        if not np.array_equal(first.labels, other.labels) or first.logits.shape != other.logits.shape:
            raise ValueError(
                f"{other.path}: its test labels are not those of {first.path}; runs are compared on one test set only"
            )
    return subjects


def _read(name: str, path: Path, config: dict[str, Any], source: Source, ranks: Ranks) -> Subject:
    if path.is_file():
        if source.chosen:
            raise ValueError(f"{path}: --weights and --checkpoint need a run folder, this is a file of predictions")
        logits, labels = checked(path, *read_predictions(path))
        return Subject(name, path, {}, logits, labels, "", None, None, "a file of predictions has no network")
    if not path.is_dir():
        raise ValueError(f"{path}: no such run folder; give the folder that holds result.json, or an .npz file")
    if not (config or (path / "predictions.npz").is_file()):
        raise ValueError(f"{path}: no run folder: it holds neither config.yaml nor predictions.npz")
    restored, note = _restored(path, config, source, ranks)
    logits, labels, step = _predictions(path, restored, source)
    weights = source.weights or (config.get("evaluation") or {}).get("weights", "ema")
    subject = Subject(name, path, config, logits, labels, weights, step, restored, note)
    subject.lines = read_metrics(path / "metrics.jsonl")
    return subject


def _restored(path: Path, config: dict[str, Any], source: Source, ranks: Ranks) -> tuple[Restored | None, str]:
    """The network, or why there is none; an error only where the report cannot do without."""
    needed = source.chosen or source.needs_network or not (path / "predictions.npz").is_file()
    weights = source.weights or (config.get("evaluation") or {}).get("weights", "ema")
    try:
        return restore(path, source.data, weights, source.checkpoint, ranks), ""
    except ValueError as error:
        if needed or source.data:
            raise
        return None, str(error)


def _predictions(path: Path, restored: Restored | None, source: Source) -> tuple[NDArray[Any], Ints, int | None]:
    """Logits, labels and the step they are of: from predictions.npz, or made by the network."""
    file = path / "predictions.npz"
    if not source.chosen and file.is_file():
        logits, labels = checked(file, *read_predictions(file, RUN_REMEDY), RUN_REMEDY)
        if restored and not np.array_equal(labels, open_beton(restored.dataset.test_beton).metadata["f1"]):
            raise ValueError(
                f"{file}: its labels are not those of {restored.dataset.test_beton}; "
                "give the data folder that the run was trained on (--data)"
            )
        return logits, labels, read_result(path / "result.json").get("step")
    assert restored is not None
    crops = restored.crops(restored.dataset.test_beton)
    logits, labels = checked(restored.checkpoint, restored.logits(crops), crops.labels, "choose another --checkpoint")
    return logits, labels, restored.step


def checked(
    path: Path, logits: NDArray[Any], labels: NDArray[Any], remedy: str = VALID_REMEDY
) -> tuple[NDArray[Any], Ints]:
    """Predictions that calibration can be measured on. ValueError naming the file and `remedy`."""
    try:
        logits, targets = check_predictions(logits, labels)
    except ValueError as error:
        raise ValueError(f"{path}: {error}; {remedy}") from error
    if logits.shape[1] == 1:
        raise ValueError(f"{path}: logits of one class only: its confidence is always 1; predict 2 or more classes")
    if (targets == targets[0]).all():
        raise ValueError(f"{path}: all {len(targets)} labels are class {targets[0]}: give the whole test set")
    if (logits >= 0).all() and np.allclose(logits.sum(axis=1), 1, rtol=0, atol=1e-3):
        raise ValueError(f"{path}: these are probabilities, each row sums to 1; write their logarithms as logits")
    return logits, targets


def foreign_logits(of: Subject, names: Sequence[str], seed: int) -> dict[str, NDArray[Any]]:
    """Logits of other images by name: of each of `names`, and of noise where there is a network."""
    found = {}
    for short, name in zip(short_folders([Path(name) for name in names]), names, strict=True):
        found[short] = _foreign_file(of, name) if name.endswith(".npz") else _foreign_beton(of, name)
    if of.restored:
        noise = Noise(of.restored.dataset, min(len(of.labels), MOST_NOISE), of.restored.config.eval_batch, seed)
        found["Gaussian noise"] = of.restored.logits(noise)
    return found


def _foreign_file(of: Subject, name: str) -> NDArray[Any]:
    (logits,) = read_arrays(Path(name), ("logits",), "give --ood an .npz file with `logits`")
    try:
        logits, _ = check_predictions(logits, np.zeros(logits.shape[:1], dtype=np.int64))
    except ValueError as error:
        raise ValueError(f"--ood {name}: {error}; predict again") from error
    if logits.shape[1] != of.logits.shape[1]:
        raise ValueError(f"--ood {name}: logits of {logits.shape[1]} classes, the test set has {of.logits.shape[1]}")
    return logits


def _foreign_beton(of: Subject, name: str) -> NDArray[Any]:
    if of.restored is None:
        raise ValueError(f"--ood {name}: {of.path} has no network to show images ({of.note}); give an .npz of logits")
    folder = next((path for path in (of.restored.dataset.folder.parent / name, Path(name)) if path.is_dir()), None)
    if folder is None:
        raise ValueError(f"--ood {name}: no such data folder; make it with dataprep/make_beton.py, or give its path")
    if folder.resolve() == of.restored.dataset.folder.resolve():
        raise ValueError(f"--ood {name}: is the run's own data set; give images of other classes")
    return of.restored.logits(of.restored.crops(folder / "test.beton"))
