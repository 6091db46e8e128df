"""What is done with confidences, as calibration.json and the options say; and what is refused."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.prediction.decisions import decide
from pipeline.prediction.options import PredictOptions
from pipeline.runs.calibration_file import Acceptance, Calibration, Guarantees, write_calibration

IMAGES = Guarantees(
    "the test set",
    400,
    [Acceptance(0.95, 0.95, 0.8, 300, 2, 400, None), Acceptance(0.98, 0.95, None, 160, 1, 400, 900)],
    {"lac": {"0.90": 0.3, "0.99": None}, "aps": {"0.90": 0.8, "0.99": None}},
)
CALIBRATION = Calibration(1.7, "nll", "validation images", 100, "ema", 600, IMAGES, None)


def decided(run: Path, **options: Any) -> Any:
    return decide(PredictOptions(run=run, **options), "ema", 600)


def test_the_temperature_travels_with_the_run(tmp_path: Path) -> None:
    write_calibration(tmp_path, CALIBRATION)
    found = decided(tmp_path)
    assert (found.temperature, found.accept, found.sets, found.notes) == (1.7, None, None, ())
    assert decided(tmp_path, raw=True).temperature == 1


def test_without_one_a_note_says_how_to_get_it(tmp_path: Path) -> None:
    found = decided(tmp_path)
    assert found.temperature == 1
    assert found.notes[0].endswith(f"fit a temperature with python pipeline/evaluate.py {tmp_path}")
    write_calibration(tmp_path, replace(CALIBRATION, step=400))
    found = decided(tmp_path)
    assert found.temperature == 1 and "is of the ema weights of step 400" in found.notes[0]
    assert not decided(tmp_path, raw=True).notes


def test_thresholds_and_quantiles(tmp_path: Path) -> None:
    write_calibration(tmp_path, replace(CALIBRATION, pool=replace(IMAGES, conformal={"lac": {"0.90": 0.1}})))
    assert decided(tmp_path, accept=0.95).accept == IMAGES.accept[0]
    assert decided(tmp_path, sets="aps").bound == 0.8
    assert decided(tmp_path, sets="lac", coverage=0.99).bound == math.inf
    assert decided(tmp_path, sets="lac", pool=True).bound == 0.1
    assert "found in fp32" in decided(tmp_path, accept=0.95, precision="bf16").notes[0]


def test_nothing_qualifies(tmp_path: Path) -> None:
    write_calibration(tmp_path, CALIBRATION)
    (note,) = decided(tmp_path, accept=0.98).notes
    assert "every row is for review: 1 of the 160 most confident" in note and "about 900 labelled images" in note


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"accept": 0.95, "raw": True}, "leave --raw out"),
        ({"accept": 0.97}, "--accept 0.97: calibration.json has thresholds for 0.95, 0.98; choose"),
        ({"sets": "lac", "coverage": 0.905}, "--coverage 0.905: .* whole percents from 0.90 to 0.99"),
        ({"sets": "lac", "pool": True}, "--sets lac --pool: .* unlabelled.include_validation=true"),
    ],
)
def test_what_a_calibration_cannot_say(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    write_calibration(tmp_path, CALIBRATION)
    with pytest.raises(ValueError, match=message):
        decided(tmp_path, **options)


def test_promises_need_a_calibration(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"--accept 0.95: .* has no calibration.json; fit .*, or leave it out"):
        decided(tmp_path, accept=0.95)
