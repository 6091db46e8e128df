"""Networks of timm from local weights, with CalibrateMix and AdamW on two ranks: interrupted, they end the same."""

from pathlib import Path

import pytest
import torch

from pipeline.distributed import Ranks
from tests.support.launch import digits, lines, result
from tests.support.ranks import on_ranks
from tests.support.recorder import run
from tests.training.test_resume_methods import interrupted

timm = pytest.importorskip("timm")
UNREAD = pytest.importorskip("tests.support.unread_token").NAME  # registered on every rank that imports this
ADAMW = (
    "mix=calibratemix", "warmup_steps=2", "optimizer.name=adamw", "optimizer.lr=1e-3", "optimizer.layer_decay=0.75",
    "optimizer.warmup_steps=3", "model.drop_path=0.2", "batch.ratio=3", "precision=fp32", "eval_batch=250",
)  # fmt: skip


@pytest.fixture(scope="session")
def data(shipped: Path) -> Path:
    """Digits of 32 px, as these networks and files expect."""
    return shipped


def started(data: Path, out: Path, name: str, steps: int) -> list[str]:
    """Arguments of train.py for a run that starts from random weights, saved beside ``out`` by timm's names."""
    torch.manual_seed(7)
    file = out.parent / f"{name}.pth"
    torch.save(timm.create_model(name, num_classes=10).state_dict(), file)
    sets = f"model.name=timm/{name}", f"model.weights={file}", f"steps={steps}", f"eval_every={steps}"
    return digits(data, out, *ADAMW, *sets)


def all_three(ranks: Ranks, whole: list[str], broken: list[str]) -> None:
    """In one start of the ranks: a run, the same one broken off in step 7, and that one resumed from step 4."""
    run(ranks, whole)
    interrupted(ranks, broken)
    run(ranks, broken)


@pytest.mark.xdist_group("ranks")
@pytest.mark.parametrize("name", ["test_vit", UNREAD])
def test_interrupted_on_two_ranks_it_ends_the_same(name: str, data: Path, tmp_path: Path) -> None:
    whole, broken = (started(data, tmp_path / where, name, 8) for where in ("whole", "broken"))
    on_ranks(2, all_three, whole, broken)
    assert lines(tmp_path / "broken") == lines(tmp_path / "whole")
    assert result(tmp_path / "broken") == result(tmp_path / "whole")
    assert any(line.get("loss_mix", 0) > 0 for line in lines(tmp_path / "whole"))
