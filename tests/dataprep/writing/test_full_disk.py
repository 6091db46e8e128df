"""A disk that is too small, or full in the middle of a run."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.dataprep_fixtures import fingerprint, make, nothing_left
from tests.support.encoding_runs import COUNT, LENGTH, EncodingRun, when


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


def test_resumes_once_there_is_room(
    run: EncodingRun, undisturbed: tuple, small_disk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = replace(run, out=small_disk)
    run.hold()

    def fill_and_release() -> None:
        fill(small_disk)
        run.release()

    when(run.is_held, fill_and_release)
    assert make(*run.words()) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and f"{small_disk}: the disk is full" in error
    kept = len(run.finished())
    assert kept >= 2 and not (small_disk / "folder").exists()
    (small_disk / "filler").unlink()
    run.forget_decodes()
    assert make(*run.words()) == 0
    again = run.decoded()
    assert len(again) == len(set(again)) == COUNT - kept * LENGTH
    assert fingerprint(small_disk / "folder") == undisturbed


def test_space_is_checked_before_anything_is_encoded(
    run: EncodingRun, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    free = os.statvfs(run.tree).f_frsize
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**9, 0, free))  # type: ignore[attr-defined]
    assert make(*run.words()) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and " MB are needed but only 0 MB are free" in error
    assert not run.decoded() and nothing_left(run.out, "folder")
