"""A generator's training: it learns, restarts leave no trace, ranks see the same batches, infinities are not kept."""

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from pipeline.config import generator
from pipeline.data.dataset import open_dataset
from pipeline.distributed import Ranks, gather_objects
from pipeline.generator import train_loop
from pipeline.generator.training_run import GeneratorRun
from pipeline.runs.read import read_status
from pipeline.training.failures import RunError
from tests.support.generators import FEW, train_on
from tests.support.launch import ROOT, lines, result
from tests.support.ranks import alone, on_ranks


def generator_of(run: Path) -> dict[str, Tensor]:
    return dict(torch.load(run / "generator.pt", weights_only=True))


@pytest.fixture(scope="module")
def whole(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of six steps that nobody disturbed."""
    torch.set_num_threads(1)
    out = tmp_path_factory.mktemp("whole") / "run"
    alone(train_on, (f"data={data}", f"out={out}"))
    return out


def test_the_run_folder(whole: Path) -> None:
    names = {path.name for path in whole.iterdir()}
    assert names == {
        "config.yaml", "environment.json", "metrics.jsonl", "tensorboard", "checkpoints", "sheets", "positions.npy",
        "generator.json", "generator.pt", "result.json", "status.json",
    }  # fmt: skip
    assert [line["step"] for line in lines(whole)] == [1, 2, 3, 4, 5, 6]
    assert set(lines(whole)[0]) == {"step", "loss", "lr"} and lines(whole)[0]["lr"] == 1e-3 / 2
    assert [path.name for path in (whole / "sheets").iterdir()] == ["step-00000006.png"]
    assert np.load(whole / "positions.npy").tolist() == list(range(1297))
    assert read_status(whole).state == "finished" and result(whole)["step"] == 6


@pytest.mark.slow
def test_a_killed_run_ends_as_one_that_nobody_disturbed(whole: Path, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    command = [sys.executable, "-m", "tests.support.dying", "train", "--set", *FEW, f"data={data}", f"out={out}"]
    assert subprocess.run(command, stdout=subprocess.DEVNULL, cwd=ROOT).returncode == -signal.SIGKILL
    assert not (out / "result.json").exists()
    alone(train_on, (f"data={data}", f"out={out}"))
    assert lines(out) == lines(whole) and result(out) == result(whole)
    ours, theirs = generator_of(out), generator_of(whole)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def batches(ranks: Ranks, data: Path, out: Path) -> list[list[np.ndarray]]:
    """Of three steps: images, draws and labels, in the order of the global batch."""
    config = generator.load(None, [*FEW, f"data={data}", f"out={out}", "steps=3", "seed=1", "flip=true"])
    run = GeneratorRun(config, open_dataset(config.labelled_data), ranks, 1)
    mine = [[tensor.numpy() for tensor in rest] for _, *rest in run.batches()]
    everyone = gather_objects(mine)
    return [[np.concatenate(parts) for parts in zip(*step, strict=True)] for step in zip(*everyone, strict=True)]


@pytest.mark.xdist_group("ranks")
def test_two_ranks_share_the_global_batch_and_learn_the_same(whole: Path, data: Path, tmp_path: Path) -> None:
    one = alone(batches, data, tmp_path)
    two = on_ranks(2, batches, data, tmp_path)[1]
    assert all(
        np.array_equal(a, b) for first, second in zip(one, two, strict=True) for a, b in zip(first, second, strict=True)
    )
    images, draws, labels = one[0]
    assert images.shape == (16, 3, 8, 8) and draws.shape == (16, 193) and labels.shape == (16, 10)
    assert images.min() >= -1 and images.max() <= 1 and set(labels.sum(axis=1)) <= {0.0, 1.0}
    short = f"data={data}", "network.dropout=0", "steps=3", "checkpoint_every=3"
    on_ranks(2, train_loss, (*short, f"out={tmp_path / 'run'}"))
    alone(train_loss, (*short, f"out={tmp_path / 'alone'}"))
    for ours, theirs in zip(lines(tmp_path / "run"), lines(tmp_path / "alone"), strict=True):
        assert ours["loss"] == pytest.approx(theirs["loss"], rel=1e-4)


def train_loss(ranks: Ranks, sets: tuple[str, ...]) -> None:
    train_on(ranks, sets)


def test_a_step_that_is_not_finite_is_not_kept(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original, calls = train_loop.training_loss, []

    def breaks(*arguments: Tensor) -> Tensor:
        calls.append(0)
        loss: Tensor = original(*arguments)  # type: ignore[arg-type]
        return loss * float("inf") if len(calls) == 3 else loss

    monkeypatch.setattr(train_loop, "training_loss", breaks)
    sets = (f"data={data}", f"out={tmp_path / 'run'}", "log_every=4")
    with pytest.raises(RunError, match=r"before step 4: loss or gradient not finite"):
        alone(train_on, sets)
    assert not (tmp_path / "run/checkpoints/step-00000004").exists()


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision(precision: str, data: Path, whole: Path, tmp_path: Path) -> None:
    """fp16 begins with a scale that may skip a step or two."""
    sets = f"data={data}", f"out={tmp_path / 'run'}", "steps=2", "sheet_every=9", f"precision={precision}"
    alone(train_on, (*sets, "checkpoint_every=9"))
    for ours, theirs in zip(lines(tmp_path / "run"), lines(whole)[:2], strict=True):
        assert ours["loss"] == pytest.approx(theirs["loss"], rel=0.05)


def test_the_average_forgets_the_first_weights_soon() -> None:
    config = generator.load(None, ["dataset=x", "batch=100", "average.half_life=1000", "average.ramp_up=0.05"])
    assert config.decay(0) == 0.5 ** (100 / 5) and config.decay(10**6) == 0.5**0.1
    assert generator.load(None, ["dataset=x", "batch=100", "average.half_life=200"]).decay(10**4) == 0.5**0.5
    assert [config.learning_rate(step) for step in (0, 10**6)] == [1e-3 * 100 / 10_000_000, 1e-3]


def test_it_learns(data: Path, tmp_path: Path) -> None:
    sets = f"data={data}", f"out={tmp_path / 'run'}", "steps=60", "log_every=20", "adam.lr=5e-3", "sheet_every=60"
    alone(train_on, (*sets, "network.dropout=0", "checkpoint_every=60"))
    first, _, last = (line["loss"] for line in lines(tmp_path / "run"))
    assert last < 0.85 * first
