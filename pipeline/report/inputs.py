"""Everything that a report can read and check before torch is imported: most mistakes are found here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline import config
from pipeline.calibration.scores import check_predictions
from pipeline.report.checkpoints import SELECTED, check_selected, choose_checkpoint
from pipeline.report.held_out import FitFile, read_fit_on
from pipeline.report.naming import run_names, short_folders
from pipeline.report.options import ReportOptions, report_folder
from pipeline.report.verified_predictions import (
    RunSettings,
    VerifiedPredictions,
    check_same_test_set,
    read_file,
    read_run,
    read_settings,
)
from pipeline.runs.read import read_arrays, read_config

NO_NETWORK = "a file of predictions has no network"


@dataclass(frozen=True)
class GivenRun:
    """One RUN of the command line. `stored`: its predictions; None where its network has to make them first."""

    name: str
    path: Path
    settings: RunSettings
    stored: VerifiedPredictions | None

    @property
    def is_file(self) -> bool:
        """A prediction file, which has no network, not a run folder."""
        return self.path.is_file()


@dataclass(frozen=True)
class Inputs:
    """What the command line names, read and checked as far as that goes without a network.

    `ood`: what --ood names, by a short distinct name; `ood_files`: logits [M, C] of those that are files, by the name
    given. `fit_on`: a share of the test set, or predictions on other images; None where the user does not say.
    `ensemble`: positions in `runs` of those that are averaged. `folder`: where the report goes.
    """

    runs: tuple[GivenRun, ...]
    ood: dict[str, str]
    ood_files: dict[str, NDArray[Any]]
    fit_on: float | FitFile | None
    ensemble: tuple[int, ...]
    folder: Path


def read_inputs(options: ReportOptions) -> Inputs:
    """ValueError naming the file or option, and the remedy."""
    folder = report_folder(options)
    runs = _read_runs(options)
    ood = dict(zip(short_folders([Path(name) for name in options.ood]), options.ood, strict=True))
    ood_files = {name: _read_ood_file(name) for name in options.ood if name not in options.ood_images}
    for given in runs:
        _check_ood(given, options, ood_files)
    check_network_options(runs, options)
    members = ensemble_members(runs, options.ensemble)
    fit_on = None if options.fit_on is None else read_fit_on(options.fit_on)
    return Inputs(runs=runs, ood=ood, ood_files=ood_files, fit_on=fit_on, ensemble=members, folder=folder)


def check_network_options(runs: Sequence[GivenRun], options: ReportOptions) -> None:
    """ValueError where an option asks for what none of the runs has: a network, or dropout in it."""
    folders = [given.path for given in runs if not given.is_file]
    asked = {"--hull-walk": options.hull_walk, "--tta": options.tta, "--piece": options.piece}
    for name in (name for name, value in asked.items() if value and not folders):
        raise ValueError(f"{name}: {runs[0].path} has no network to run on images; give a run folder")
    if options.mc_dropout and not any(dropout_of(folder) for folder in folders):
        given = ", ".join(str(run.path) for run in runs)
        raise ValueError(f"--mc-dropout: no dropout in {given}; give a run trained with model.dropout=0.3")


def dropout_of(folder: Path) -> float:
    """The probability with which a run dropped features before the classifier."""
    return float((read_config(folder / "config.yaml").get("model") or {}).get("dropout", 0))


def ensemble_members(runs: Sequence[GivenRun], named: Sequence[Path] | None) -> tuple[int, ...]:
    """Positions of the runs that --ensemble names, all where it names none. ValueError where they do not go together.

    That all runs have the same test labels in the same order is checked elsewhere: no report goes without.
    """
    if named is None:
        return ()
    positions = {given.path.resolve(): number for number, given in enumerate(runs)}
    for path in named:
        if path.resolve() not in positions:
            raise ValueError(f"--ensemble {path}: is none of the runs of this report; give it there too")
    members = tuple(dict.fromkeys(positions[path.resolve()] for path in named)) or tuple(range(len(runs)))
    sets = {str(runs[i].path): read_config(runs[i].path / "config.yaml").get("dataset") for i in members}
    known = {folder: name for folder, name in sets.items() if name}
    for folder, name in known.items():
        if name != next(iter(known.values())):
            raise ValueError(f"--ensemble: {folder} was trained on {name}, {next(iter(known))} on another data set")
    return members


def _read_runs(options: ReportOptions) -> tuple[GivenRun, ...]:
    stored = [_stored(path, options) for path in options.runs]
    check_same_test_set([each for each in stored if each])
    settings = [each.settings if each else read_settings(path) for each, path in zip(stored, options.runs, strict=True)]
    names = run_names([each.method for each in settings], options.runs)
    return tuple(
        GivenRun(name=name, path=path, settings=of, stored=each)
        for name, path, of, each in zip(names, options.runs, settings, stored, strict=True)
    )


def _stored(path: Path, options: ReportOptions) -> VerifiedPredictions | None:
    if path.is_file():
        if options.chooses_checkpoint:
            raise ValueError(f"{path}: --weights and --checkpoint need a run folder, this is a prediction file")
        return read_file(path)
    if not path.is_dir():
        raise ValueError(f"{path}: no such run folder; give the folder that holds result.json, or an .npz file")
    if not any((path / name).is_file() for name in ("config.yaml", "predictions.npz")):
        raise ValueError(f"{path}: not a run folder: it holds neither config.yaml nor predictions.npz")
    if options.weights == SELECTED:
        check_selected(path, options.checkpoint)
    if options.chooses_checkpoint or not (path / "predictions.npz").is_file():
        choose_checkpoint(path, options.checkpoint)
        return None
    return read_run(path)


def _read_ood_file(name: str) -> NDArray[Any]:
    (logits,) = read_arrays(Path(name), ("logits",), "give --ood an .npz file with `logits`")
    try:
        return check_predictions(logits, np.zeros(logits.shape[:1], dtype=np.int64))[0]
    except ValueError as error:
        raise ValueError(f"--ood {name}: {error}; predict again") from error


def _check_ood(given: GivenRun, options: ReportOptions, logits: Mapping[str, NDArray[Any]]) -> None:
    """ValueError where --ood does not fit a run: no such images, none to predict them, logits of other classes."""
    for name in options.ood_images:
        if given.is_file:
            raise ValueError(
                f"--ood {name}: {given.path} has no network to run on images ({NO_NETWORK}); give an .npz of logits"
            )
        trained = config.load(given.path / "config.yaml", [f"data={options.data}"] if options.data else [])
        own = Path(trained.data) / trained.dataset
        if own.is_dir():  # otherwise the network says what is missing
            ood_folder(name, own)
    if given.stored:
        check_ood_classes(logits, given.stored)


def ood_folder(name: str, own: Path) -> Path:
    """The data folder `name` beside the run's `own`, or at that path. ValueError where there is none."""
    folder = next((path for path in (own.parent / name, Path(name)) if path.is_dir()), None)
    if folder is None:
        raise ValueError(f"--ood {name}: no such data folder; make it with dataprep/make_beton.py, or give its path")
    if folder.resolve() == own.resolve():
        raise ValueError(f"--ood {name}: is the run's own data set; give images of other classes")
    return folder


def check_ood_classes(logits: Mapping[str, NDArray[Any]], of: VerifiedPredictions) -> None:
    """ValueError naming the file of OOD `logits` [M, C] that are of another number of classes than the test set's."""
    for name, each in logits.items():
        if each.shape[1] != of.logits.shape[1]:
            raise ValueError(f"--ood {name}: logits of {each.shape[1]} classes, the test set has {of.logits.shape[1]}")
