"""The command that says how much mixup's labels say."""

from pathlib import Path

import pytest

from pipeline.label_entropy import main
from pipeline.report.plots_entropy import entropy_figure
from tests.report.test_plots import assert_readable


def test_table_and_plot(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["0.2", "1", "--plot", str(tmp_path / "entropy.png")]) == 0
    rows = [line.split("|")[1:-1] for line in capsys.readouterr().out.splitlines()]
    assert [cell.strip() for cell in rows[3][:2]] == ["1", "0.5000"]
    assert float(rows[2][1]) < 0.5 and float(rows[2][2]) > float(rows[3][2])
    assert (tmp_path / "entropy.png").read_bytes().startswith(b"\x89PNG")


def test_a_tenth_of_the_pairs_is_of_one_class(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["1", "--classes", "10"]) == 0
    assert "0.4500" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["0"], "alpha must be above 0"),
        (["nan"], "alpha must be above 0"),
        (["1", "--classes", "1"], "--classes must be at least 2"),
        (["1", "--plot", "no/entropy.png"], "--plot no/entropy.png: "),
        (["1", "--plot", "entropy.txt"], "--plot entropy.txt: unknown file type"),
    ],
)
def test_mistakes_are_one_line(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert message in captured.err and captured.err.count("\n") == 1 and captured.out == ""


def test_bars_are_probabilities() -> None:
    figure = entropy_figure([0.1, 0.4, 1], 0.1)
    for axes in figure.axes:
        (bars,) = axes.patches
        assert bars.get_data().values.sum() == pytest.approx(1)
    assert_readable(figure)
