"""calibration.json: what is written is read again, and damage is one line that names the file."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.runs.calibration_file import (
    NAME,
    Acceptance,
    Calibration,
    Guarantees,
    read_calibration,
    write_calibration,
)

GUARANTEES = Guarantees(
    calibrated_on="80% of the test set",
    num_images=400,
    accept=[Acceptance(0.98, 0.95, 0.9, 200, 0, 400, None), Acceptance(0.99, 0.95, None, 300, 4, 400, 1200)],
    conformal={"lac": {"0.90": 0.25, "0.99": None}},
)
CALIBRATION = Calibration(1.5, "nll", "20% of the test set", 100, "ema", 600, GUARANTEES, None)


@pytest.mark.parametrize("pool", [None, GUARANTEES])
def test_what_is_written_is_read(tmp_path: Path, pool: Guarantees | None) -> None:
    of = replace(CALIBRATION, pool=pool)
    path = write_calibration(tmp_path, of)
    assert path == tmp_path / NAME and read_calibration(tmp_path) == of
    assert json.loads(path.read_text())["images"]["accept"][0]["accepted_share"] == 0.5
    assert of.is_of("ema", 600) and not of.is_of("raw", 600) and not of.is_of("ema", 400)


def test_a_run_without_one_has_none(tmp_path: Path) -> None:
    assert read_calibration(tmp_path) is None


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"temperature": 1.0}'])
def test_damage_is_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / NAME).write_text(text)
    with pytest.raises(ValueError, match=r"calibration\.json: is .*evaluate\.py RUN") as error:
        read_calibration(tmp_path)
    assert "\n" not in str(error.value)


def test_a_temperature_that_cannot_be(tmp_path: Path) -> None:
    write_calibration(tmp_path, replace(CALIBRATION, temperature=0.0))
    with pytest.raises(ValueError, match="damaged"):
        read_calibration(tmp_path)
