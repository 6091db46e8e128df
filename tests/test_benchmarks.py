"""What the comparisons with the peer stand on; the peer itself is not needed here."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
CHILD = """
import os, contender
cores = lambda: os.sched_getaffinity(0)
contender.serve({"twice": lambda number: 2 * number, "cores": cores, "leave": lambda: os._exit(3)})
"""


@pytest.fixture(autouse=True)
def script_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if a script of benchmarks/ was run."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))


def test_a_contender_answers_on_its_own_cores_and_says_what_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    import contender

    (tmp_path / "child.py").write_text(CHILD)
    monkeypatch.setenv("PYTHONPATH", str(BENCHMARKS))
    core = min(os.sched_getaffinity(0))
    with contender.Contender(str(tmp_path / "child.py"), cores=[core]) as child:
        assert child.ask("twice", number=21) == 42
        assert child.ask("cores") == {core}
        with pytest.raises(SystemExit, match="twice failed: TypeError"):
            child.ask("twice", number=None)
        assert child.ask("twice", number=1) == 2  # goes on
        with pytest.raises(SystemExit, match=r"died \(exit code 3\)"):
            child.ask("leave")
    assert "TypeError" in capfd.readouterr().err


def test_without_a_package_index_one_line_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    import peer

    monkeypatch.setattr(peer, "FOLDER", tmp_path / "env")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    for _ in range(2):  # what was left half made is not taken for finished
        with pytest.raises(ValueError, match=r"pip could not install .* run it again with network") as error:
            peer.python()
        assert "\n" not in str(error.value)


def test_the_largest_difference_is_relative_to_the_largest_entry() -> None:
    import parity

    one, other = [torch.tensor([1.0, -200.0]), torch.tensor([3.0])], [torch.tensor([1.0, -200.0]), torch.tensor([1.0])]
    assert parity.largest(one, one) == 0
    assert parity.largest(one, other) == 2 / 200
    assert parity.largest([torch.zeros(2)], [torch.zeros(2)]) == 0


@pytest.mark.parametrize("script", ["parity", "loader", "step"])
def test_every_script_explains_itself_without_the_peer(script: str) -> None:
    words = [sys.executable, str(BENCHMARKS / f"{script}.py"), "--help"]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0 and "usage" in done.stdout
