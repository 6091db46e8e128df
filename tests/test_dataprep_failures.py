"""Damaged images, dead workers, wrong options: a clear line, and nothing half-written."""

import csv
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from dataprep.partial import check_space
from tests.dataprep_fixtures import (
    make,
    nothing_left,
    pack,
    pixels,
    put_image,
    put_tree,
    read_manifest,
    read_raw,
    tree_paths,
)

ROOT = Path(__file__).resolve().parent.parent


def damage(root: Path) -> set[str]:
    """Three ways an image goes bad; returns their paths."""
    (root / "train/ant/0.png").write_bytes(b"")
    (root / "train/bee/1.png").write_bytes(b"this is no image" * 20)
    whole = (root / "test/cow/2.png").read_bytes()
    (root / "test/cow/2.png").write_bytes(whole[: len(whole) // 2])
    return {"train/ant/0.png", "train/bee/1.png", "test/cow/2.png"}


def test_bad_images_are_listed_and_left_out(tmp_path: Path) -> None:
    source = put_tree(tmp_path / "source", tree_paths())
    bad = damage(source)
    assert make("folder", "--source", source, "--out", tmp_path, "--max-rejected", 0.2) == 0
    with (tmp_path / "folder/rejected.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["path"] for row in rows} == bad and all(row["reason"] for row in rows)
    counts = read_manifest(tmp_path / "folder")["counts"]
    assert (counts["train"], counts["test"], counts["rejected"]) == (29, 29, 3)
    images = read_raw(tmp_path / "folder/train.beton")[0]
    good = {pixels(p).tobytes() for p in tree_paths() if p.startswith("train/") and p not in bad}
    assert {image.tobytes() for image in images} == good
    assert make("folder", "--source", source, "--out", tmp_path) == 0, "rejects must not look like another source"


def test_too_many_bad_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = put_tree(tmp_path / "source", tree_paths())
    damage(source)
    assert make("folder", "--source", source, "--out", tmp_path / "data") == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "--max-rejected" in error and "train/ant/0.png (empty file)" in error
    assert nothing_left(tmp_path / "data", "folder")


def test_more_labels_than_a_class_has(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = put_tree(tmp_path / "source", tree_paths())
    assert make("folder", "--source", source, "--out", tmp_path / "data", "--labels-per-class", 4, 11) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "class 'bee' has only 10" in error
    assert nothing_left(tmp_path / "data", "folder")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["cifar"], ["unknown data set 'cifar'", "digits, folder"]),
        (["folder", "--source", "nowhere"], ["--source nowhere", "does not exist"]),
        (["digits", "--seed", "0"], ["--seed"]),
        (["digits", "--source", "."], ["--source"]),
        (["digits", "--name", "../up"], ["--name"]),
        (["digits", "--image-size", "64", "--stored-size", "32"], ["--image-size 64", "--stored-size 32"]),
        (["digits", "--jpeg-quality", "101"], ["--jpeg-quality"]),
    ],
)
def test_wrong_options(
    arguments: list[str], words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        code = make(*arguments, "--out", tmp_path)
    except SystemExit as stop:  # argparse ends the program itself
        code = int(str(stop.code))
    error = capsys.readouterr().err
    assert code == 2 and error.count("\n") == 1 and all(word in error for word in words)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("paths", "words"),
    [
        (["train/a/0.png", "train/b/0.png", "val/0.png"], "val/0.png and others lie in no class folder"),
        (["train/a/0.png", "train/b/0.png", "test/c/0.png"], "test class 'c' has no training images"),
        (["a/0.png", "a/1.png"], "only one class folder"),
        (["test/a/0.png", "val/a/0.png"], "no training images"),
        ([], "no training images"),
    ],
)
def test_unusable_layouts(paths: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = put_tree(tmp_path / "source", paths)
    source.mkdir(exist_ok=True)
    assert make("folder", "--source", source, "--out", tmp_path / "data") == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and words in error and str(source) in error
    assert nothing_left(tmp_path / "data", "folder")


@pytest.mark.parametrize("mode", ["w", "w:xz", "w:gz"])
def test_a_tar_cut_short(mode: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tar = pack(put_tree(tmp_path / "source", tree_paths()), tmp_path / "cut.tar", mode)
    tar.write_bytes(tar.read_bytes()[: tar.stat().st_size // 2])
    assert make("folder", "--source", tar, "--out", tmp_path / "data") == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "cut.tar" in error
    assert nothing_left(tmp_path / "data", "folder")


def test_a_folder_of_unknown_origin_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "digits").mkdir()
    (tmp_path / "digits/thesis.txt").write_text("only copy")
    assert make("digits", "--out", tmp_path) == 2
    assert "holds no manifest.json" in capsys.readouterr().err
    assert (tmp_path / "digits/thesis.txt").read_text() == "only copy"


def test_space_is_checked_first(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="GB are needed"):
        check_space(tmp_path, 10**18)


# From here on: a process of its own, large enough to be hit while it works.


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """4,000 links to four photos of which each takes some ten milliseconds."""
    root = tmp_path_factory.mktemp("large")
    for c in range(4):
        photo = put_image(root, f"photos/{c}.png", (700, 700))
        (root / f"tree/class{c}").mkdir(parents=True)
        for i in range(1000):
            (root / f"tree/class{c}/{i}.png").symlink_to(photo)
    return root / "tree"


def start(source: Path, out: Path) -> subprocess.Popen:
    """A running make_beton.py that has begun to write."""
    command = [sys.executable, ROOT / "dataprep/make_beton.py", "folder", "--source", source, "--out", out]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [*map(str, command), "--workers", "2"],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    deadline = time.monotonic() + 60
    while not (out / ".folder.partial/train.beton").exists():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    return process


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def wait_for_workers(pid: int) -> list[int]:
    """Both workers of a run: children of its fork server, so grandchildren of `pid`."""
    for _ in range(1000):
        found = [grandchild for child in children(pid) for grandchild in children(child)]
        if len(found) == 2:
            return found
        time.sleep(0.02)
    raise AssertionError("no two workers")


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def when_writing(out: Path, act: Callable[[], None]) -> None:
    """Call `act` from a thread as soon as the run in this process writes images."""

    def wait() -> None:
        while not (out / ".folder.partial/train.beton").exists():
            time.sleep(0.02)
        act()

    threading.Thread(target=wait, daemon=True).start()


def test_a_killed_worker_is_an_error(large: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    when_writing(tmp_path, lambda: os.kill(wait_for_workers(os.getpid())[0], signal.SIGKILL))
    begin = time.monotonic()
    assert make("folder", "--source", large, "--out", tmp_path, "--workers", 2) == 1
    assert time.monotonic() - begin < 15
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "a worker process died" in error
    assert nothing_left(tmp_path, "folder")


def test_ctrl_c(large: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    when_writing(tmp_path, lambda: os.kill(os.getpid(), signal.SIGINT))
    assert make("folder", "--source", large, "--out", tmp_path, "--workers", 2) == 130
    assert capsys.readouterr().err == "make_beton.py: interrupted, nothing was kept\n"
    assert nothing_left(tmp_path, "folder")


def test_a_cancelled_job_cleans_up(large: Path, tmp_path: Path) -> None:
    process = start(large, tmp_path)
    begin = time.monotonic()
    process.send_signal(signal.SIGTERM)
    _, error = process.communicate(timeout=30)
    assert time.monotonic() - begin < 10
    assert process.returncode == 130 and error == b"make_beton.py: interrupted, nothing was kept\n"
    assert nothing_left(tmp_path, "folder")


def test_a_killed_run_leaves_no_workers_and_is_taken_over(
    large: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    process = start(large, tmp_path)
    workers = wait_for_workers(process.pid)
    assert make("folder", "--source", large, "--out", tmp_path) == 2, "two runs at once"
    assert "another run is making this data set" in capsys.readouterr().err
    process.kill()
    process.wait()
    deadline = time.monotonic() + 10
    while any(alive(worker) for worker in workers):
        assert time.monotonic() < deadline, "workers outlive their parent"
        time.sleep(0.05)
    assert (tmp_path / ".folder.partial").exists()
    small = put_tree(tmp_path / "small", tree_paths())
    assert make("folder", "--source", small, "--out", tmp_path) == 0
    assert not list(tmp_path.glob(".*"))
