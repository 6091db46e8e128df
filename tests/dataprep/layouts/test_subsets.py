"""--classes and --limit: a part of a set, the same for every run."""

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataprep.data_folder.file_list import read_files
from dataprep.layouts.listing import Listing
from dataprep.layouts.subsets import SubsetRequest, take
from dataprep.sources.entries import Entry
from dataprep.sources.readers import FileReader
from tests.support.dataprep_fixtures import make, put_tree, read_manifest, tree_paths
from tests.support.made_folders import opened

Output = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = put_tree(tmp_path_factory.mktemp("source") / "set", tree_paths())
    return put_tree(root, [f"unlabelled/{i}.png" for i in range(20)])


def test_classes_by_name(tree: Path, tmp_path: Path, capsys: Output) -> None:
    words = ("folder", "--source", tree, "--out", tmp_path, "--classes", "cow", "ant")
    assert make(*words) == 0
    content = read_manifest(tmp_path / "folder")
    assert content["classes"] == ["ant", "cow"] and content["counts"]["train_per_class"] == [11, 10]
    assert content["counts"]["unlabelled"] == 20 and opened(tmp_path / "folder").split.size == 21
    assert "--classes: 2 of 3 classes" in capsys.readouterr().out
    assert make(*words) == 0 and "already made" in capsys.readouterr().out
    assert make(*words[:-1]) == 2 and "--classes" in capsys.readouterr().err
    assert make(*words[:-1], "bee") == 2 and "different images" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--classes", "ant", "caw"], "no class 'caw'; did you mean 'cow'?"),
        (["--classes", "50", "ant"], "no class '50'; there are ant, bee, cow"),
        (["--classes", "ant", "ant"], "--classes must name at least 2"),
        (["--limit", "0"], "--limit must be at least 1"),
        (["--limit-seed", "4"], "--limit-seed is used with --limit only"),
    ],
)
def test_what_is_refused(tree: Path, tmp_path: Path, words: list[str], said: str, capsys: Output) -> None:
    assert make("folder", "--source", tree, "--out", tmp_path / "data", *words) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and said in error


def test_classes_without_test_images(tmp_path: Path, capsys: Output) -> None:
    source = put_tree(tmp_path / "source", [*tree_paths(("train/",)), *(f"test/bee/{i}.png" for i in range(3))])
    assert make("folder", "--source", source, "--out", tmp_path, "--classes", "ant", "cow") == 2
    assert "no test images of these classes" in capsys.readouterr().err


def test_a_limit_for_each_class_and_part(tree: Path, tmp_path: Path, capsys: Output) -> None:
    for name, words in (("four", ("4",)), ("again", ("4",)), ("six", ("6",)), ("other", ("4", "--limit-seed", "1"))):
        assert make("folder", "--source", tree, "--out", tmp_path, "--name", name, "--limit", *words) == 0
    counts = read_manifest(tmp_path / "four")["counts"]
    assert counts["train_per_class"] == counts["test_per_class"] == [4, 4, 4] and counts["unlabelled"] == 12
    files = {name: set(read_files(tmp_path / name, "train")) for name in ("four", "again", "six", "other")}
    assert files["four"] == files["again"] < files["six"] and files["other"] != files["four"]
    assert "--limit 4: 24 of 51 train, 12 of 30 test" in capsys.readouterr().out
    assert read_manifest(tmp_path / "four")["source"]["limit"] == 4
    assert make("folder", "--source", tree, "--out", tmp_path, "--name", "four", "--limit", 6) == 2


@given(labels=st.lists(st.integers(-1, 3), min_size=1, max_size=60), limit=st.integers(1, 9), seed=st.integers(0, 3))
def test_a_limit_is_exact(labels: list[int], limit: int, seed: int) -> None:
    entries = [Entry(f"{i}.png", label, 1, 0) for i, label in enumerate(labels)]
    listing = Listing(list("abcd"), entries, entries[:1], FileReader(""), has_test_split=True)
    kept = Counter(entry.label for entry in take(listing, SubsetRequest(limit=limit, limit_seed=seed)).train)
    assert kept == {c: min(n, limit * 4 if c < 0 else limit) for c, n in Counter(labels).items()}
