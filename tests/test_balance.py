"""The command that says which of two soft labels a loss fits better."""

from pathlib import Path

import pytest

from pipeline.balance import main
from pipeline.report.plots_balance import balance_figure
from tests.report.test_plots import assert_readable


def test_table_and_plot(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--deltas", "0.01", "0.1", "--plot", str(tmp_path / "balance.png")]) == 0
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in capsys.readouterr().out.splitlines()]
    assert rows[0] == ["delta", "beta, L2", "beta, CE", "beta, focal, gamma 1"]
    assert [row[:2] for row in rows[2:]] == [["0.01", "0.00000"], ["0.1", "0.00000"]]
    assert all(float(row[2]) < 0 < float(row[3]) for row in rows[2:])
    assert (tmp_path / "balance.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--alpha", "0.6", "0.9"], "--alpha 0.6 0.9: give two numbers from 0.5 to below 1, the larger one first"),
        (["--alpha", "nan", "0.6"], "--alpha nan 0.6"),
        (["--deltas", "0.18"], "--deltas 0.18: must be above 0 and below 0.18"),
        (["--plot", "no/balance.png"], "--plot no/balance.png: "),
    ],
)
def test_mistakes_are_one_line(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert message in captured.err and captured.err.count("\n") == 1 and captured.out == ""


def test_figure_has_a_line_for_each_loss_on_its_side_of_0() -> None:
    figure = balance_figure((0.9, 0.6))
    equal, below, above = (line.get_ydata() for line in figure.axes[0].get_lines()[:3])
    assert abs(equal).max() < 1e-5 and below.max() < 0 and above.min() > 0
    assert_readable(figure)
