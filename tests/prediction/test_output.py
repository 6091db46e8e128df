"""The list of predictions: hidden until it is whole, and the same however often its writing was killed."""

import json
from pathlib import Path

import pytest

from pipeline.prediction.output import Done, Output

JOB = {"run": "/runs/a", "batch": 2}
BATCHES = [([["a", "1"], ["b,", "2"]], [("x", "empty file")], 3), ([["c\udcff", "3"]], [], 4), ([], [("y", "z")], 5)]


def write(out: Path, stop: int | None = None, torn: bytes = b"") -> Done:
    """A job that is killed after `stop` batches, in the middle of writing `torn`."""
    output = Output(out, JOB, ["file", "class"])
    with output:
        for number, (rows, rejected, done) in enumerate(BATCHES):
            if done <= output.done.images:
                continue
            if number == stop:
                output._files[out].write(torn)
                return output.done
            output.add(rows, rejected, done, accepted=len(rows))
        output.finish({"temperature": 1.5})
    return output.done


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("stops", [(0,), (1,), (2,), (0, 1, 1, 2)])
def test_a_killed_job_ends_as_one_that_was_left_alone(tmp_path: Path, stops: tuple[int, ...]) -> None:
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
    done = write(tmp_path / "whole/p.csv")
    for stop in stops:
        write(tmp_path / "killed/p.csv", stop, b'half,"a ro')
        assert not (tmp_path / "killed/p.csv").exists()
    assert write(tmp_path / "killed/p.csv") == done
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")
    assert set(contents(tmp_path / "whole")) == {"p.csv", "p.rejected.csv", "p.json"}


def test_what_stands_in_the_files(tmp_path: Path) -> None:
    write(tmp_path / "p.csv")
    assert (tmp_path / "p.csv").read_bytes() == b'file,class\na,1\n"b,",2\nc\xff,3\n'
    assert (tmp_path / "p.rejected.csv").read_text() == "path,reason\nx,empty file\ny,z\n"
    facts = {"temperature": 1.5, "images": 5, "predicted": 3, "rejected": 2, "accepted": 3}
    assert json.loads((tmp_path / "p.json").read_text()) == facts
    write(tmp_path / "p.csv")  # a finished list is replaced


def test_another_job_is_not_mixed_in(tmp_path: Path) -> None:
    write(tmp_path / "p.csv", stop=1)
    with pytest.raises(ValueError, match=r"a job with other batch is unfinished there"):
        Output(tmp_path / "p.csv", {**JOB, "batch": 3}, ["file", "class"]).__enter__()


def test_two_processes_do_not_write_one_list(tmp_path: Path) -> None:
    with Output(tmp_path / "p.csv", JOB, ["file"]), pytest.raises(ValueError, match="another process is writing it"):
        Output(tmp_path / "p.csv", JOB, ["file"]).__enter__()


def test_a_kill_between_the_renames_starts_anew(tmp_path: Path) -> None:
    write(tmp_path / "p.csv", stop=2)
    (tmp_path / ".p.rejected.csv.partial").rename(tmp_path / "p.rejected.csv")
    write(tmp_path / "p.csv")
    assert (tmp_path / "p.rejected.csv").read_text() == "path,reason\nx,empty file\ny,z\n"
