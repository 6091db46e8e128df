"""The live view says what a person watches: loss, mask rate, impurity, error and ECE."""

import re

import pytest

from pipeline.training.live_view import LiveView

TRAINED = {"step": 5, "loss": 0.5, "mask_rate": 0.25, "impurity": 0.125, "images_per_second": 1234.0}


def said(capsys: pytest.CaptureFixture[str], line: dict[str, float | None]) -> str:
    with LiveView("run", 10, 0, True) as view:
        view.training(line)
        view.evaluation({"step": 5, "error": 12.345, "ece": 6.5})
    return capsys.readouterr().out


def test_plain_lines_hold_impurity_and_calibration(capsys: pytest.CaptureFixture[str]) -> None:
    printed = said(capsys, {**TRAINED})
    assert "loss 0.500  mask 25%  impurity 12%  1,234 images/s" in printed
    assert "step 5/10  error 12.35%  ECE 6.50%" in printed or "error 12.34%  ECE 6.50%" in printed


def test_the_live_bar_holds_them_too(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes the output for a terminal
    monkeypatch.setenv("COLUMNS", "160")
    printed = re.sub("\x1b\\[[0-9;?]*[A-Za-z]", "", said(capsys, {**TRAINED}))
    assert "loss 0.500  mask 25%  impurity 12%  1,234 images/s  error 12.3" in printed and "ECE 6.50%" in printed


@pytest.mark.parametrize("missing", [{"impurity": None}, {}])
def test_impurity_is_left_out_where_nobody_knows_it(
    missing: dict[str, None], capsys: pytest.CaptureFixture[str]
) -> None:
    line = {name: value for name, value in TRAINED.items() if name != "impurity"}
    assert "mask 25%  1,234 images/s" in said(capsys, {**line, **missing})
