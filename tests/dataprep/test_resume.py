"""Dead workers, killed runs, full disks: a clear line, nothing under the final name, and no image decoded twice."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dataprep import parts
from dataprep.catalog import DATASETS
from dataprep.images import Recipe
from dataprep.parts import encode_part, part_length, read_part
from dataprep.sources import Entry, FileReader
from tests.support.dataprep_fixtures import count_decodes, fingerprint, make, put_image, put_tree, read_raw, tree_paths

ROOT = Path(__file__).resolve().parents[2]
LENGTH = 8  # images in a part here
COUNT = 160
SIZES = ("--image-size", 84, "--stored-size", 96)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """160 links to photos of which each takes some ten milliseconds: a run of seconds that can be hit."""
    root = tmp_path_factory.mktemp("large")
    for c in range(4):
        photo = put_image(root, f"photos/{c}.png", (600, 600))
        (root / f"tree/class{c}").mkdir(parents=True)
        for i in range(COUNT // 4):
            (root / f"tree/class{c}/{i}.png").symlink_to(photo)
    return root / "tree"


@pytest.fixture(scope="module")
def whole(large: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple:
    """What a run that nothing disturbs makes of them."""
    out = tmp_path_factory.mktemp("whole")
    assert make("folder", "--source", large, "--out", out, *SIZES, "--workers", 2) == 0
    return fingerprint(out / "folder")


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where decodes are noted, for runs in this process and those that `start` starts."""
    monkeypatch.setitem(DATASETS, "folder", DATASETS["folder"])
    monkeypatch.setattr(parts, "FEWEST", parts.FEWEST)
    count_decodes(tmp_path / "decodes.log", LENGTH)
    return tmp_path / "decodes.log"


def decoded(log: Path) -> Counter[str]:
    return Counter(log.read_text().split("\n")[:-1])


def finished(out: Path) -> set[Path]:
    return {file for file in out.glob(".folder.partial/parts/*") if file.suffix != ".tmp"}


def when(state: Callable[[], object], act: Callable[[], None]) -> None:
    """Call `act` from a thread as soon as `state` holds."""

    def watch() -> None:
        deadline = time.monotonic() + 60
        while not state() and time.monotonic() < deadline:
            time.sleep(0.01)
        act()

    threading.Thread(target=watch, daemon=True).start()


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


def start(source: Path, out: Path, log: Path) -> subprocess.Popen:
    """make_beton.py in a process of its own that has finished two parts."""
    code = (
        "import signal, sys; from dataprep import make_beton; from tests.support.dataprep_fixtures import *;"
        f"count_decodes(Path({str(log)!r}), {LENGTH}); signal.signal(signal.SIGTERM, make_beton._terminate);"
        "sys.exit(main(sys.argv[1:]))"
    )
    words = ["folder", "--source", source, "--out", out, *SIZES, "--workers", 2]
    process = subprocess.Popen(
        [sys.executable, "-c", code, *map(str, words)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    deadline = time.monotonic() + 60
    while len(finished(out)) < 2:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    return process


def goes_on(large: Path, out: Path, log: Path, whole: tuple) -> None:
    """The same command again: nothing that is finished is decoded, and the result is that of an undisturbed run."""
    kept = len(finished(out))
    assert not (out / "folder").exists() and kept >= 2
    assert {child.name for child in (out / ".folder.partial").iterdir()} == {"parts"}
    log.unlink()
    assert make("folder", "--source", large, "--out", out, *SIZES, "--workers", 2) == 0
    again = decoded(log)
    assert again.total() == len(again) == COUNT - kept * LENGTH
    assert fingerprint(out / "folder") == whole
    assert not list(out.glob(".*"))


def test_a_killed_worker_is_an_error(
    large: Path, log: Path, whole: tuple, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    killed: list[float] = []

    def kill() -> None:
        os.kill(wait_for_workers(os.getpid())[0], signal.SIGKILL)
        killed.append(time.monotonic())

    when(lambda: len(finished(tmp_path)) >= 3, kill)
    assert make("folder", "--source", large, "--out", tmp_path, *SIZES, "--workers", 2) == 1
    assert time.monotonic() - killed[0] < 15
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "a worker process died" in error and "finished parts are kept" in error
    goes_on(large, tmp_path, log, whole)
    assert f"of {COUNT} images were finished by an earlier run" in capsys.readouterr().out


def test_ctrl_c_and_other_options(large: Path, log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    when(lambda: len(finished(tmp_path)) >= 2, lambda: os.kill(os.getpid(), signal.SIGINT))
    assert make("folder", "--source", large, "--out", tmp_path, *SIZES, "--workers", 2) == 130
    assert capsys.readouterr().err.startswith("make_beton.py: interrupted; finished parts are kept")
    assert not (tmp_path / "folder").exists() and len(finished(tmp_path)) >= 2
    log.unlink()
    other = (*SIZES, "--encoding", "jpg")
    assert make("folder", "--source", large, "--out", tmp_path, *other, "--workers", 2) == 0
    assert decoded(log).total() == COUNT and not list(tmp_path.glob(".*"))


def test_a_cancelled_job_keeps_its_parts(large: Path, log: Path, whole: tuple, tmp_path: Path) -> None:
    process = start(large, tmp_path, log)
    begin = time.monotonic()
    process.send_signal(signal.SIGTERM)
    _, error = process.communicate(timeout=30)
    assert time.monotonic() - begin < 10
    assert process.returncode == 130 and error.startswith(b"make_beton.py: interrupted; finished parts are kept")
    goes_on(large, tmp_path, log, whole)


def test_a_killed_run_leaves_no_workers_and_is_taken_over(
    large: Path, log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    process = start(large, tmp_path, log)
    workers = wait_for_workers(process.pid)
    assert make("folder", "--source", large, "--out", tmp_path) == 2, "two runs at once"
    assert "another run is making this data set" in capsys.readouterr().err
    process.kill()
    process.wait()
    deadline = time.monotonic() + 10
    while any(alive(worker) for worker in workers):
        assert time.monotonic() < deadline, "workers outlive their parent"
        time.sleep(0.05)
    kept = len(finished(tmp_path))
    log.unlink()
    assert make("folder", "--source", large, "--out", tmp_path, *SIZES, "--max-rejected", 0.5, "--workers", 2) == 0
    assert decoded(log).total() == COUNT - kept * LENGTH and not list(tmp_path.glob(".*"))


def test_another_source_starts_afresh(large: Path, log: Path, tmp_path: Path) -> None:
    when(lambda: finished(tmp_path), lambda: os.kill(os.getpid(), signal.SIGINT))
    assert make("folder", "--source", large, "--out", tmp_path, *SIZES) == 130
    small = put_tree(tmp_path / "small", tree_paths())
    assert make("folder", "--source", small, "--out", tmp_path) == 0
    assert len(read_raw(tmp_path / "folder/train.beton")[0]) == 31 and not list(tmp_path.glob(".*"))


def test_interrupted_while_joining(
    large: Path, log: Path, whole: tuple, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is decoded again, but for the part that the disk has lost the end of."""

    def interrupt(*arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("dataprep.encode.write_beton", interrupt)
        assert make("folder", "--source", large, "--out", tmp_path, *SIZES, "--workers", 2) == 130
    assert len(finished(tmp_path)) * LENGTH == COUNT
    lost = min(finished(tmp_path))
    os.truncate(lost, lost.stat().st_size // 2)
    log.unlink()
    assert make("folder", "--source", large, "--out", tmp_path, *SIZES, "--workers", 2) == 0
    assert decoded(log).total() == LENGTH and fingerprint(tmp_path / "folder") == whole


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 96 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=96m", "tmpfs", disk], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"NOT TESTED, a full disk: no tmpfs may be mounted here ({mounted.stderr.decode().strip()})")
    yield disk
    subprocess.run(["umount", "-l", disk], check=True)


def fill(disk: Path) -> None:
    try:
        with (disk / "filler").open("wb", buffering=0) as file:
            while True:
                file.write(bytes(1 << 16))
    except OSError:
        pass


def test_a_full_disk(
    large: Path, log: Path, whole: tuple, small_disk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    when(lambda: len(finished(small_disk)) >= 2, lambda: fill(small_disk))
    assert make("folder", "--source", large, "--out", small_disk, *SIZES, "--workers", 2) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and f"{small_disk}: the disk is full" in error
    (small_disk / "filler").unlink()
    goes_on(large, small_disk, log, whole)


def test_parts_do_not_depend_on_workers_and_stay_small() -> None:
    assert [part_length(total, "jpg") for total in (10, 50_000, 1_281_167, 14_000_000)] == [64, 196, 5005, 10_000]
    assert part_length(60_000, "raw") == 1024


def test_what_could_not_be_read_is_tried_again(tmp_path: Path) -> None:
    put_image(tmp_path, "here.png")
    entries = [Entry("here.png", 1, 100, 0), Entry("gone.png", 2, 100, 0)]
    for name, some, again in (("all", entries, True), ("one", entries[:1], False)):
        encode_part(FileReader(f"{tmp_path}/"), Recipe(12, "raw", 0, "squash"), some, tmp_path / name)
        part = read_part(tmp_path / name)
        assert part and part.again is again and part.labels.tolist() == [1] and part.sizes.tolist() == [12 * 12 * 3]
        assert part.rejects == ([("gone.png", "FileNotFoundError: No such file or directory")] if again else [])
