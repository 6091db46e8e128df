"""The names of checkpoints, and which of them are finished."""

from pathlib import Path

from pipeline.runs.checkpoints import (
    MANIFEST,
    checkpoint_folder,
    checkpoint_step,
    checkpoints,
    finished_checkpoints,
    last_saved_step,
)


def test_names_hold_the_step() -> None:
    assert checkpoint_folder(1234) == "step-00001234"
    assert [checkpoint_step(Path("x") / checkpoint_folder(step)) for step in (0, 7, 10**9)] == [0, 7, 10**9]


def test_only_finished_ones_count_and_the_oldest_comes_first(tmp_path: Path) -> None:
    assert (finished_checkpoints(tmp_path), last_saved_step(tmp_path)) == ([], 0)
    steps = (10**8, 9, 200)  # by number, not by name
    for step in steps:
        (tmp_path / checkpoint_folder(step)).mkdir()
        (tmp_path / checkpoint_folder(step) / MANIFEST).touch()
    for name in (checkpoint_folder(10**9), ".step-00000300.partial", ".step-00000400.damaged", "step-notes"):
        (tmp_path / name).mkdir()
    assert [checkpoint_step(path) for path in finished_checkpoints(tmp_path)] == sorted(steps)
    assert [checkpoint_step(path) for path in checkpoints(tmp_path)] == [*sorted(steps), 10**9]
    assert last_saved_step(tmp_path) == 10**8
