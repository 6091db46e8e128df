"""--dry-run: classes, counts and bytes; nothing written, whatever is there already."""

from pathlib import Path

import pytest

from tests.support.dataprep_fixtures import make, pack, put_tree, tree_paths

Output = pytest.CaptureFixture[str]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return put_tree(tmp_path / "source", [*tree_paths(), *(f"unlabelled/{i}.png" for i in range(5))])


@pytest.mark.parametrize("packed", [False, True])
def test_says_what_would_be_made(tree: Path, tmp_path: Path, packed: bool, capsys: Output) -> None:
    source = pack(tree, tmp_path / "set.tar.gz", "w:gz") if packed else tree
    before = sorted(tmp_path.rglob("*"))
    assert make("folder", "--source", source, "--out", tmp_path / "new/data", "--dry-run") == 0
    lines = capsys.readouterr().out.splitlines()
    table = [line.split() for line in lines]
    assert ["class", "train", "test"] in table and ["ant", "11", "10"] in table and ["cow", "10", "10"] in table
    assert ["(unlabelled)", "5"] in table
    size = sum(file.stat().st_size for file in tree.rglob("*.png"))
    assert lines[-2] == f"source: 66 images, {size:,} bytes"
    assert lines[-1].startswith(f"{tmp_path}/new/data/folder would hold 36 train (5 unlabelled), 30 test, 3 classes, ")
    assert "12x12 raw, betons of at most" in lines[-1] and lines[-1].endswith("; nothing was written")
    assert sorted(tmp_path.rglob("*")) == before


def test_subsets_and_refusals_are_those_of_the_real_run(tree: Path, tmp_path: Path, capsys: Output) -> None:
    words = ("folder", "--source", tree, "--out", tmp_path / "data", "--limit", 3)
    assert make(*words, "--dry-run") == 0
    assert "would hold 14 train (5 unlabelled), 9 test" in capsys.readouterr().out
    assert make(*words, "--labels-per-class", 4, "--dry-run") == 2
    assert "--labels-per-class 4" in capsys.readouterr().err
    assert make(*words) == 0
    before = {file: file.stat().st_mtime_ns for file in (tmp_path / "data").rglob("*")}
    assert make(*words, "--seeds", 0, 9, "--dry-run") == 0
    assert "is made already; 3 splits would be added: 10pct-seed9" in capsys.readouterr().out
    assert make(*words[:-1], 2, "--dry-run") == 2
    assert "different images" in capsys.readouterr().err
    assert {file: file.stat().st_mtime_ns for file in (tmp_path / "data").rglob("*")} == before


def test_nothing_is_downloaded(tmp_path: Path, capsys: Output) -> None:
    assert make("cifar10", "--out", tmp_path / "data", "--dry-run") == 2
    assert "missing; put them into" in capsys.readouterr().err and not list(tmp_path.iterdir())
