"""Checkpoints: complete or absent, intact or not used, for any number of ranks; a failed write costs nothing else."""

import json
import resource
import signal
import threading
from pathlib import Path
from typing import Any

import pytest
import torch

from pipeline.distributed import Ranks
from pipeline.training import checkpoint
from pipeline.training.failures import RunError
from tests.support.ranks import alone, on_ranks

ROWS = 1000  # a table of 16 kB, so that a limit on file sizes hits it and not the small files


def table(ranks: Ranks, step: int) -> torch.Tensor:
    each = ROWS // ranks.world
    return torch.arange(ROWS * 4).reshape(ROWS, 4).float()[ranks.rank * each : (ranks.rank + 1) * each] + step


def state(step: int) -> checkpoint.State:
    return {
        "model": {"w": torch.full((2,), float(step))},
        "progress": {"step": step, "best": json.dumps({"error": step / 7})},
    }


def write(ranks: Ranks, folder: Path, steps: list[int]) -> list[bool]:
    writer = checkpoint.Writer(folder, ranks)
    stands = []
    for step in steps:
        rows = table(ranks, step)
        labels = torch.full((len(rows),), ranks.rank)
        writer.save(step, state(step), {"apm": {"margins": rows, "labels": labels}})
        rows += 1000  # the run goes on while the thread writes
        stands.append(writer.wait())
    writer.close()
    return stands


def read(ranks: Ranks, folder: Path) -> tuple[int | None, torch.Tensor, torch.Tensor]:
    """(step or None, margins, labels) of this rank."""
    found, margins = state(0), torch.zeros(ROWS // ranks.world, 4)
    labels = torch.zeros(len(margins), dtype=torch.int64)
    if not checkpoint.load_newest(folder, found, {"apm": {"margins": margins, "labels": labels}}, ranks):
        return None, margins, labels
    step = found["progress"]["step"]
    assert found["model"]["w"].tolist() == [step, step] and json.loads(found["progress"]["best"]) == {"error": step / 7}
    return step, margins, labels


def test_a_container_is_refused(tmp_path: Path) -> None:
    """DCP would restore only the entries that the loading side has, of an empty dict none: best was lost that way."""

    def save(ranks: Ranks) -> None:
        writer = checkpoint.Writer(tmp_path, ranks)
        try:
            with pytest.raises(AssertionError, match=r"progress\.best"):
                writer.save(3, {"progress": {"best": {"error": 1.0}}}, {})
        finally:
            writer.close()

    alone(save)


def test_a_rank_of_another_gpu_writes_without_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread begins on device 0, where DCP's copies through a stream would make a context: 0.5 GB for each rank."""
    switched: list[tuple[str, int]] = []

    def on_the_third_gpu(ranks: Ranks) -> list[bool]:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)  # and any other question to CUDA raises here
        monkeypatch.setattr(torch.cuda, "current_device", lambda: 2)
        monkeypatch.setattr(torch.cuda, "set_device", lambda d: switched.append((threading.current_thread().name, d)))
        return write(ranks, tmp_path, [4])

    assert alone(on_the_third_gpu) == [True]
    assert switched == [("checkpoint_0", 2)]
    monkeypatch.undo()
    assert alone(read, tmp_path)[0] == 4


def whole(parts: list[tuple[int | None, torch.Tensor, torch.Tensor]]) -> tuple[torch.Tensor, list[int]]:
    return torch.cat([margins for _, margins, _ in parts]), torch.cat([labels for *_, labels in parts]).tolist()


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def on_two(ranks: Ranks, folder: Path) -> Any:
    """Reads what four wrote and one wrote; writes for one; fails to write on one rank alone."""
    seen = [read(ranks, folder / name) for name in ("four", "one")]
    stands = write(ranks, folder / "two", [1, 2])
    if ranks.rank == 1:
        limit_file_size(4000)
    failed = write(ranks, folder / "two", [3, 4])
    if ranks.rank == 1:
        limit_file_size(resource.RLIM_INFINITY)
    return seen, stands, failed, write(ranks, folder / "two", [5])


def limit_file_size(size: int) -> None:
    """A write beyond it fails as on a full disk, with another number."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


@pytest.mark.xdist_group("ranks")
def test_any_number_of_ranks_and_a_rank_whose_disk_is_full(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert on_ranks(4, write, tmp_path / "four", [7]) == [[True]] * 4
    assert alone(write, tmp_path / "one", [9]) == [True]
    zero, one = on_ranks(2, on_two, tmp_path)
    expected = torch.arange(ROWS * 4).reshape(ROWS, 4).float()
    for place, (step, writers) in enumerate([(7, 4), (9, 1)]):
        parts = [rank[0][place] for rank in (zero, one)]
        margins, labels = whole(parts)
        assert [part[0] for part in parts] == [step, step]
        assert torch.equal(margins, expected + step)
        assert labels == [r for r in range(writers) for _ in range(ROWS // writers)]
    assert zero[1:] == one[1:] == ([True, True], [False, False], [True])
    assert names(tmp_path / "two") == ["step-00000002", "step-00000005"]
    step, margins, labels = alone(read, tmp_path / "two")
    assert step == 5 and torch.equal(margins, expected + 5) and labels.tolist() == [0] * 500 + [1] * 500
    said = capfd.readouterr().err
    assert said.count("warning: checkpoint of step") == 2
    assert "step 3 not written: " in said and "training goes on" in said


def test_the_copy_is_taken_before_save_returns_and_old_ones_go(tmp_path: Path) -> None:
    alone(write, tmp_path, [1, 2, 30])
    assert names(tmp_path) == ["step-00000002", "step-00000030"]
    step, margins, _ = alone(read, tmp_path)
    assert step == 30 and torch.equal(margins, torch.arange(ROWS * 4).reshape(ROWS, 4).float() + 30)


def data_file(folder: Path) -> Path:
    return max(folder.glob("*.distcp"), key=lambda p: p.stat().st_size)


def truncate(folder: Path) -> None:
    file = data_file(folder)
    file.write_bytes(file.read_bytes()[:-100])


def zero(folder: Path) -> None:
    file = data_file(folder)
    file.write_bytes(bytes(file.stat().st_size))


def one_bit(folder: Path) -> None:
    file = data_file(folder)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


DAMAGES = {
    "truncated": truncate,
    "zeroed": zero,
    "a bit": one_bit,
    "shard missing": lambda folder: data_file(folder).unlink(),
    "metadata missing": lambda folder: (folder / ".metadata").unlink(),
    "manifest missing": lambda folder: (folder / "manifest.json").unlink(),
    "manifest zeroed": lambda folder: (folder / "manifest.json").write_bytes(bytes(50)),
    "manifest of another kind": lambda folder: (folder / "manifest.json").write_text("[]"),
}


@pytest.mark.parametrize("how", DAMAGES)
def test_a_damaged_one_is_named_and_the_one_before_is_used(
    how: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    alone(write, tmp_path, [1, 2])
    DAMAGES[how](tmp_path / "step-00000002")
    assert alone(read, tmp_path)[0] == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and f"{tmp_path / 'step-00000002'} is damaged (" in said
    assert names(tmp_path) == [".step-00000002.damaged", "step-00000001"]  # kept until the next one stands
    alone(write, tmp_path, [2])
    assert names(tmp_path) == ["step-00000001", "step-00000002"]
    assert alone(read, tmp_path)[0] == 2


def test_where_none_is_intact_the_run_does_not_start_anew(tmp_path: Path) -> None:
    alone(write, tmp_path, [1])
    truncate(tmp_path / "step-00000001")
    with pytest.raises(RunError, match="no checkpoint there is intact; remove the run folder"):
        alone(read, tmp_path)


def test_what_a_kill_leaves_is_not_taken(tmp_path: Path) -> None:
    alone(write, tmp_path, [1])
    (tmp_path / ".step-00000002.partial").mkdir()
    (tmp_path / ".step-00000002.partial" / "manifest.json").write_text(json.dumps({"files": {}}))
    assert alone(read, tmp_path)[0] == 1
    alone(write, tmp_path, [2])
    assert names(tmp_path) == ["step-00000001", "step-00000002"]


def test_nothing_to_load(tmp_path: Path) -> None:
    assert alone(read, tmp_path)[0] is None


def test_a_step_is_written_once(tmp_path: Path) -> None:
    assert alone(twice, tmp_path) == [True, True]


def twice(ranks: Ranks, folder: Path) -> list[bool]:
    writer = checkpoint.Writer(folder, ranks)
    stamps = []
    for _ in range(2):
        writer.save(4, state(4), {})
        writer.wait()
        stamps.append((folder / "step-00000004").stat().st_ino)
    writer.close()
    return [writer.wait(), stamps[0] == stamps[1]]
