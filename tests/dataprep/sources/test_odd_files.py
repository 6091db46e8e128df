"""Links, sparse files, pipes and loops, as GNU tar and file systems have them: read, or named."""

import csv
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.dataprep_fixtures import fingerprint, make, put_tree, read_manifest, tree_paths
from tests.support.encoding_runs import ROOT
from tests.support.native_fixtures import WNIDS, jpeg, put

Output = pytest.CaptureFixture[str]
LIMIT = 120  # seconds for a command that would otherwise wait for ever


@pytest.fixture(scope="module")
def linked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 images, a quarter of them hard links, a quarter symbolic links, a quarter mostly holes; and a linked class."""
    root = put_tree(tmp_path_factory.mktemp("linked") / "set", [f"train/ant/{i}.png" for i in range(10)])
    ant, bee = root / "train/ant", root / "train/bee"
    bee.mkdir()
    for i in range(10):
        os.link(ant / f"{i}.png", bee / f"hard{i}.png")
        (bee / f"soft{i}.png").symlink_to(f"../ant/{i}.png")
        shutil.copyfile(ant / f"{i}.png", bee / f"holes{i}.png")
        os.truncate(bee / f"holes{i}.png", 1 << 20)
    (root / "train/cow").symlink_to("ant")
    (root / "test").symlink_to("train")
    return root


@pytest.fixture(scope="module")
def made(linked: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple:
    out = tmp_path_factory.mktemp("made")
    assert make("folder", "--source", linked, "--out", out) == 0
    assert read_manifest(out / "folder")["counts"]["train_per_class"] == [10, 30, 10]
    return fingerprint(out / "folder")


@pytest.mark.parametrize("options", [["--format=gnu"], ["--format=gnu", "-S"], ["--format=posix", "-S"], ["-h"]])
def test_links_and_sparse_members_of_a_tar(linked: Path, made: tuple, tmp_path: Path, options: list[str]) -> None:
    tar = tmp_path / "set.tar"
    subprocess.run(["tar", *options, "-cf", tar, "-C", linked.parent, "set"], check=True)
    assert make("folder", "--source", tar, "--out", tmp_path) == 0
    assert fingerprint(tmp_path / "folder") == made


def test_a_link_out_of_the_tar_is_rejected(tmp_path: Path) -> None:
    source = put_tree(tmp_path / "source", tree_paths(("train/", "test/"), per_class=5))
    for name, target in (("gone", "nowhere.png"), ("out", "/etc/hostname"), ("loop", "loop.png")):
        (source / f"train/ant/{name}.png").symlink_to(target)
    (source / "train/ant/self").symlink_to("..")
    os.mkfifo(source / "train/ant/pipe.png")
    subprocess.run(["tar", "-cf", tmp_path / "set.tar", "-C", source, "."], check=True)
    assert make("folder", "--source", tmp_path / "set.tar", "--out", tmp_path, "--max-rejected", 0.2) == 0
    with (tmp_path / "folder/rejected.csv").open(newline="") as file:
        rows = {row["path"]: row["reason"] for row in csv.DictReader(file)}
    assert rows == {
        "train/ant/gone.png": "OSError: a link to nowhere.png, which the tar does not hold",
        "train/ant/out.png": "OSError: a link to /etc/hostname, which the tar does not hold",
        "train/ant/loop.png": "OSError: a link to loop.png, which the tar does not hold",
        "train/ant/pipe.png": "OSError: a pipe or device, not a file",
    }
    assert read_manifest(tmp_path / "folder")["counts"]["train_per_class"] == [6, 5, 5]


def test_hard_links_in_the_original_imagenet_tars(tmp_path: Path) -> None:
    """As a class is packed whose second image is a link to its first."""
    for wnid in WNIDS[:2]:
        put(tmp_path / "classes" / wnid / f"{wnid}_0.JPEG", jpeg(wnid))
        os.link(tmp_path / "classes" / wnid / f"{wnid}_0.JPEG", tmp_path / "classes" / wnid / f"{wnid}_1.JPEG")
        put(tmp_path / "source/val" / wnid / "ILSVRC2012_val_00000001.JPEG", jpeg(f"val {wnid}"))
        folder = tmp_path / "classes" / wnid
        subprocess.run(["tar", "-cf", tmp_path / f"{wnid}.tar", "-C", folder, "."], check=True)
    tars = [f"{wnid}.tar" for wnid in WNIDS[:2]]
    train = tmp_path / "source/ILSVRC2012_img_train.tar"
    subprocess.run(["tar", "-cf", train, "-C", tmp_path, *tars], check=True)
    assert make("imagenet", "--source", tmp_path / "source", "--out", tmp_path) == 0
    assert read_manifest(tmp_path / "imagenet")["counts"]["train_per_class"] == [2, 2]


def test_a_pipe_is_rejected_and_named(tmp_path: Path) -> None:
    """In a process of its own first, with a limit: opening a pipe waits for someone to write."""
    source = put_tree(tmp_path / "source", tree_paths(("train/", "test/"), per_class=5))
    os.mkfifo(source / "train/ant/x.jpg")
    words = ["folder", "--source", str(source), "--out", str(tmp_path / "data"), "--workers", "1"]
    command = [sys.executable, "dataprep/make_beton.py", *words]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=LIMIT, env=environment)
    assert done.returncode == 2 and "train/ant/x.jpg (OSError: a pipe (FIFO), not a file)" in done.stderr
    assert make(*words, "--max-rejected", 0.1) == 0
    assert 'x.jpg,"OSError: a pipe (FIFO), not a file"' in (tmp_path / "data/folder/rejected.csv").read_text()


def test_a_pipe_as_the_source(tmp_path: Path, capsys: Output) -> None:
    os.mkfifo(tmp_path / "set.tar")
    assert make("folder", "--source", tmp_path / "set.tar", "--out", tmp_path) == 2
    assert "set.tar is neither a directory nor a file" in capsys.readouterr().err


def test_links_in_a_circle_are_left_out(tmp_path: Path, capsys: Output) -> None:
    source = put_tree(tmp_path / "source", tree_paths(("train/", "test/"), per_class=5))
    (source / "train/ant/up").symlink_to("../..")
    (source / "train/ant/other").symlink_to("../bee")
    (source / "train/bee/other").symlink_to("../ant")
    assert make("folder", "--source", source, "--out", tmp_path) == 0
    said = capsys.readouterr().out
    assert "left out train/ant/up: it links to a folder that it lies in" in said
    assert "left out train/ant/other/other: it links to" in said
    assert read_manifest(tmp_path / "folder")["counts"]["train_per_class"] == [11, 11, 5]


@pytest.mark.parametrize("parts", [("train/", "test/"), ("",)])
def test_an_empty_class_folder_is_named(tmp_path: Path, capsys: Output, parts: tuple[str, ...]) -> None:
    source = put_tree(tmp_path / "source", tree_paths(parts, per_class=5))
    (source / parts[0] / "emu").mkdir()
    assert make("folder", "--source", source, "--out", tmp_path) == 0
    assert f"note: {parts[0]}emu/ holds no image and is no class" in capsys.readouterr().out
