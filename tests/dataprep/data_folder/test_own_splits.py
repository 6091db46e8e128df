"""--split: the user's own labelled sets, by position or by file name, which training takes by name."""

from pathlib import Path

import numpy as np
import pytest

from dataprep.data_folder.file_list import read_files
from pipeline import config
from pipeline.data.dataset import open_dataset
from tests.support.dataprep_fixtures import make, nothing_left, put_tree, read_manifest, tree_paths
from tests.support.made_folders import opened

Output = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = put_tree(tmp_path_factory.mktemp("source") / "set", tree_paths())
    put_tree(root, ["unlabelled/0.png"])
    (root / "train/cow/broken.png").write_bytes(b"not an image")
    return root


@pytest.fixture
def words(tree: Path, tmp_path: Path) -> tuple[object, ...]:
    (tmp_path / "files.txt").write_text("train/bee/3.png\n\ntrain/ant/deep/er.png\r\ntrain/cow/0.png\n")
    np.save(tmp_path / "positions.npy", np.array([7, 2, 4], np.int32))
    return ("folder", "--source", tree, "--out", tmp_path / "data", "--max-rejected", 0.1)


def test_training_takes_them_by_name(words: tuple, tmp_path: Path, capsys: Output) -> None:
    with (tmp_path / "files.txt").open("a") as file:
        file.write("train/cow/broken.png\n")
    assert make(*words, "--split", f"mine={tmp_path}/files.txt") == 0
    assert "mine: 1 file that could not be read is left out" in capsys.readouterr().out
    folder = tmp_path / "data/folder"
    files = read_files(folder, "train")
    mine = ["train/ant/deep/er.png", "train/bee/3.png", "train/cow/0.png"]
    assert sorted(files[position] for position in opened(folder, "mine").split) == mine
    assert read_manifest(folder)["splits"]["mine"]["source"] == "files.txt"
    np.save(tmp_path / "positions.npy", [p for p in range(9) if not files[p].startswith("unlab")][:4])
    assert make(*words, "--split", f"few.labels={tmp_path}/positions.npy") == 0
    assert "added 1 split: few.labels" in capsys.readouterr().out
    assert opened(folder, "few.labels").split.tolist() == np.load(tmp_path / "positions.npy").tolist()
    given = {"data": str(folder.parent), "dataset": "folder", "labels": "mine", "seed": 7}
    assert len(open_dataset(config.load(None, [f"{key}={value}" for key, value in given.items()])).split) == 3
    assert make(*words, "--verify") == 0
    assert make(*words, "--split", f"mine={tmp_path}/files.txt") == 0 and "nothing to add" in capsys.readouterr().out
    (tmp_path / "files.txt").write_text("train/bee/3.png\n")
    assert make(*words, "--split", f"mine={tmp_path}/files.txt") == 2
    assert "split 'mine' exists with other images" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("split", "said"),
    [
        ("mine", "NAME=FILE"),
        ("4=files.txt", "is the name of a drawn split"),
        ("all=files.txt", "is the name of a drawn split"),
        ("all-seed3=files.txt", "is the name of a drawn split"),
        ("10pct-stratified=files.txt", "is the name of a drawn split"),
        ("../up=files.txt", "letters, digits"),
        ("mine=nowhere.txt", "does not exist"),
        ("mine=strange.txt", "2 of its lines name no training image, for example test/ant/0.png"),
        ("mine=twice.txt", "twice"),
        ("mine=nolabel.txt", "without a label, for example unlabelled/0.png"),
        ("mine=empty.txt", "holds no image"),
        ("mine=far.npy", "positions from 0 to 32"),
        ("mine=real.npy", "whole numbers"),
    ],
)
def test_what_is_refused(words: tuple, tmp_path: Path, split: str, said: str, capsys: Output) -> None:
    (tmp_path / "strange.txt").write_text("test/ant/0.png\ntrain/bee/3.png\nbee/3.png\n")
    (tmp_path / "twice.txt").write_text("train/bee/3.png\ntrain/bee/3.png\n")
    (tmp_path / "nolabel.txt").write_text("train/bee/3.png\nunlabelled/0.png\n")
    (tmp_path / "empty.txt").write_text("\n")
    np.save(tmp_path / "far.npy", [1, 33])
    np.save(tmp_path / "real.npy", [0.5, 1])
    name, _, file = split.partition("=")
    assert make(*words, "--split", f"{name}={tmp_path}/{file}" if file else name) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "--split" in error and said in error
    assert nothing_left(tmp_path / "data", "folder")


def test_arrays_run_no_code(words: tuple, tmp_path: Path, capsys: Output) -> None:
    np.save(tmp_path / "objects.npy", np.array([Path("x")], object), allow_pickle=True)
    assert make(*words, "--split", f"mine={tmp_path}/objects.npy") == 2
    assert "objects.npy" in capsys.readouterr().err


def test_a_dry_run_checks_them(words: tuple, tmp_path: Path, capsys: Output) -> None:
    assert make(*words, "--split", f"mine={tmp_path}/files.txt", "--dry-run") == 0
    assert "mine" in capsys.readouterr().out
    assert make(*words, "--split", f"mine={tmp_path}/no.txt", "--dry-run") == 2
