"""A run that stops while it encodes or joins: nothing under the final name, and no image decoded twice afterwards."""

import os
import signal
from pathlib import Path

import pytest

from tests.support.dataprep_fixtures import fingerprint, make, put_tree, read_raw, tree_paths
from tests.support.encoding_runs import COUNT, LENGTH, EncodingRun, when


def interrupt(run: EncodingRun, *more: object) -> None:
    """Ctrl-C once parts are finished."""
    run.hold()
    when(run.is_held, lambda: os.kill(os.getpid(), signal.SIGINT))
    assert make(*run.words(*more)) == 130
    assert not (run.out / "folder").exists() and len(run.finished()) >= 2


def test_resumes_after_ctrl_c(run: EncodingRun, undisturbed: tuple, capsys: pytest.CaptureFixture[str]) -> None:
    interrupt(run)
    assert capsys.readouterr().err == (
        "make_beton.py: interrupted; finished parts are kept, and the same command resumes from them\n"
    )
    assert {child.name for child in (run.out / ".folder.partial").iterdir()} == {"parts"}
    kept = len(run.finished())
    run.forget_decodes()
    assert make(*run.words()) == 0
    again = run.decoded()
    assert len(again) == len(set(again)) == COUNT - kept * LENGTH
    assert f"{kept * LENGTH} of {COUNT} images were finished by an earlier run" in capsys.readouterr().out
    assert fingerprint(run.out / "folder") == undisturbed
    assert not list(run.out.glob(".*"))


def test_other_options_start_afresh(run: EncodingRun) -> None:
    interrupt(run)
    run.forget_decodes()
    assert make(*run.words("--encoding", "jpg")) == 0
    assert len(run.decoded()) == COUNT and not list(run.out.glob(".*"))


def test_another_source_starts_afresh(run: EncodingRun, tmp_path: Path) -> None:
    interrupt(run)
    run.release()
    small = put_tree(tmp_path / "small", tree_paths())
    assert make("folder", "--source", small, "--out", run.out) == 0
    assert len(read_raw(run.out / "folder/train.beton")[0]) == 31 and not list(run.out.glob(".*"))


def test_interrupted_while_joining(run: EncodingRun, undisturbed: tuple, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is decoded again, except for a part that the disk has lost the end of."""

    def stop(*arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("dataprep.writing.join.write_beton", stop)
        assert make(*run.words()) == 130
    assert len(run.finished()) * LENGTH == COUNT
    lost = min(run.finished())
    os.truncate(lost, lost.stat().st_size // 2)
    run.forget_decodes()
    assert make(*run.words()) == 0
    assert len(run.decoded()) == LENGTH and fingerprint(run.out / "folder") == undisturbed
