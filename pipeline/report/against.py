"""Scores of many runs against one of their options: a grid's runs as curves, with mean and deviation over seeds."""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.calibration.floor import expected_ece_floor
from pipeline.calibration.scores import reported
from pipeline.config.identity import DEFAULTS, RESUMABLE_OPTIONS
from pipeline.config.reading import flatten
from pipeline.report.naming import method_name
from pipeline.report.tables import Table, table
from pipeline.report.verified_predictions import VerifiedPredictions
from pipeline.runs.read import read_config

Settings = Mapping[str, Any]  # every option by its dotted name

# An option that plays no part in a run counts as 0 there: (what switches it off, what then does not matter either).
OFF: dict[str, tuple[tuple[str, str | None], tuple[str, ...]]] = {
    "mixing.alpha": (("mix", "none"), ("mix", "mixing.", "warmup_")),
    "loss.gamma": (("loss.name", "ce"), ("loss.",)),
    "loss.entropy_weight": (("loss.name", "ce"), ("loss.",)),
    "loss.margin_weight": (("loss.name", "ce"), ("loss.",)),
    "loss.mmce_weight": (("loss.name", "ce"), ("loss.",)),
    "augmented.per_image": (("augmented.dataset", None), ("augmented.",)),
    "augmented.weight": (("augmented.dataset", None), ("augmented.",)),
}
ACROSS = ("error", "ece", "oe")  # of the table, unless others are asked for
SHOWN = {  # what a table and a figure may show, in percent, with their titles
    "error": "error",
    "accuracy": "accuracy",
    "ece": "ECE",
    "ece15": "ECE-15",
    "ace": "ACE",
    "oe": "OE",
    "ue": "UE",
    "oe_plain": "OE plain",
    "ue_plain": "UE plain",
}


@dataclass(frozen=True)
class Point:
    """The runs with one `value` of the option: `scores` [seeds] in percent by name; `floor`: the expected, of ECE."""

    value: float
    scores: Mapping[str, np.ndarray]
    floor: float

    def mean(self, name: str) -> float:
        return float(self.scores[name].mean())

    def deviation(self, name: str) -> float:
        """Over seeds, with ddof 0, as collected tables have it."""
        return float(self.scores[name].std())


def curves(runs: Sequence[VerifiedPredictions], option: str) -> dict[str, list[Point]]:
    """Points by rising value of `option`, of runs alike in everything else but the seed, by what tells these apart.

    Runs in which the option plays no part stand at 0, in every curve that they are like. ValueError where there is no
    such option, a run has no number there, or all runs are without.
    """
    if option not in DEFAULTS:
        near = difflib.get_close_matches(option, DEFAULTS, 1)
        raise ValueError(f"--against {option}: no such option" + (f"; did you mean {near[0]}?" if near else ""))
    settings = [DEFAULTS | flatten(read_config(run.path / "config.yaml")) for run in runs]
    off = [is_off(of, option) for of in settings]
    if all(off):
        raise ValueError(f"--against {option}: plays no part in any of these runs; add runs that differ in it")
    keys = list(dict.fromkeys(_alike(of, option) for of, without in zip(settings, off, strict=True) if not without))
    found: dict[str, list[Point]] = {}
    for name, key in _named(keys).items():
        members: dict[float, list[VerifiedPredictions]] = {}
        for run, of, without in zip(runs, settings, off, strict=True):
            if _belongs(of, key, option, without):
                members.setdefault(0.0 if without else _number(run, of, option), []).append(run)
        found[name] = [_point(value, members[value]) for value in sorted(members)]
    _check_all_are_shown(runs, settings, off, keys, option)
    return found


def is_off(of: Settings, option: str) -> bool:
    """The option plays no part in a run."""
    if option not in OFF:
        return False
    (name, value), _ = OFF[option]
    return bool(of[name] == value)


def _alike(of: Settings, option: str) -> frozenset[tuple[str, str]]:
    """What must be the same in all runs of a curve."""
    ignored = RESUMABLE_OPTIONS | {"seed", option}
    return frozenset((name, str(value)) for name, value in of.items() if name not in ignored)


def _belongs(of: Settings, key: frozenset[tuple[str, str]], option: str, without: bool) -> bool:
    if not without:
        return _alike(of, option) == key
    _, free = OFF[option]
    return all(name.startswith(free) for name, _ in _alike(of, option) ^ key)


def _check_all_are_shown(
    runs: Sequence[VerifiedPredictions],
    settings: Sequence[Settings],
    off: Sequence[bool],
    keys: Sequence[frozenset[tuple[str, str]]],
    option: str,
) -> None:
    for run, of, without in zip(runs, settings, off, strict=True):
        if not any(_belongs(of, key, option, without) for key in keys):
            differs = sorted({name for name, _ in _alike(of, option) ^ keys[0] if not name.startswith(OFF[option][1])})
            raise ValueError(f"{run.path}: is no point at 0 of any curve: {', '.join(differs)} differ; leave it out")


def _named(keys: Sequence[frozenset[tuple[str, str]]]) -> dict[str, frozenset[tuple[str, str]]]:
    """Curves by method, and by the options in which they differ beyond it where these are not at their default."""
    told = frozenset.intersection(*keys) | {(name, str(value)) for name, value in DEFAULTS.items()}
    names = {}
    for key in keys:
        other = sorted(f"{name}={value}" for name, value in key - told if name not in ("algorithm", "mix"))
        names[", ".join([method_name(dict(key)), *other])] = key
    return names


def _number(run: VerifiedPredictions, of: Settings, option: str) -> float:
    value = of[option]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"--against {option}: is {value} in {run.path}, not a number")
    return float(value)


def _point(value: float, runs: Sequence[VerifiedPredictions]) -> Point:
    each = [reported(run.sums) for run in runs]
    scores = {name: np.array([of[name] for of in each]) for name in SHOWN if name != "accuracy"}
    floors = [expected_ece_floor(run.logits, run.settings.ece_bins) for run in runs]
    return Point(value, {**scores, "accuracy": 100 - scores["error"]}, float(np.mean(floors)))


def against_table(found: Mapping[str, Sequence[Point]], option: str, scores: Sequence[str] = ACROSS) -> Table:
    """A row for each curve and value, a column for each of `scores` (of SHOWN)."""
    rows = []
    for name, points in found.items():
        for point in points:
            cells = [f"{point.mean(score):.2f} ± {point.deviation(score):.2f}" for score in scores]
            rows.append([name, f"{point.value:g}", str(len(point.scores["ece"])), *cells, f"{point.floor:.2f}"])
    return table(("runs", option, "seeds", *(f"{SHOWN[score]} %" for score in scores), "floor %"), rows)
