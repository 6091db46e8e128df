"""A loss that is not finite: from that step on nothing changes, and all ranks stop at the next log or save point."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipeline import train
from pipeline.data.batches import PartSource
from pipeline.data.group_order import GroupOrder, GroupsByClass, Places
from pipeline.data.streams import VirtualShards, labelled_order
from pipeline.distributed import Ranks
from pipeline.randomness import AUGMENTED, LABELLED
from pipeline.training.failures import RunError
from pipeline.training.guard import Guard
from tests.support.launch import SMALL, status
from tests.support.ranks import alone, on_ranks
from tests.support.recorder import Recorder

EXPLODING = ("optimizer.lr=1e12", "log_every=10", "checkpoint_every=1000", "algorithm=flexmatch", "warmup_steps=0")


def everything(recorder: Recorder) -> dict[str, torch.Tensor]:
    """Copies of all that training keeps."""
    run = recorder.run
    assert run is not None
    momentum = {f"momentum.{i}": s["momentum_buffer"] for i, s in enumerate(run.optimizer.state.values())}
    parts = [
        {f"{kind}.{name}": tensor for name, tensor in getattr(kept, kind).items()}
        for kept in run.kept.values() for kind in ("replicated", "labelled", "sharded")
    ]  # fmt: skip
    model = {f"model.{name}": t for name, t in run.model.state_dict().items() if t.is_floating_point()}
    ema = {f"ema.{name}": t for name, t in run.ema.module.state_dict().items() if t.is_floating_point()}
    return {name: t.clone() for part in (momentum, model, ema, *parts) for name, t in part.items()}


def explode(ranks: Ranks, sets: tuple[str, ...], out: Path) -> Any:
    """(message, details, what the run held when it stopped, the same of a run that stopped before the bad step)."""
    broken, before = Recorder(), None
    with pytest.raises(RunError) as caught:
        broken.train(ranks, (*SMALL, *EXPLODING, *sets, f"out={out / 'broken'}"))
    before = Recorder(stop_at=caught.value.details["nonfinite"]["step"] - 1)
    before.train(ranks, (*SMALL, *EXPLODING, *sets, f"out={out / 'before'}"))
    return str(caught.value), caught.value.details["nonfinite"], everything(broken), everything(before), broken.steps


@pytest.mark.slow
@pytest.mark.xdist_group("ranks")
def test_the_step_is_named_and_undone_on_all_ranks(data: Path, tmp_path: Path) -> None:
    ranks = on_ranks(2, explode, (f"data={data}", "steps=40"), tmp_path)
    message, found, *_, steps = ranks[0]
    bad = found["step"]
    print(message)
    assert bad > 1 and bad % 10, "the bad step and the log point are to be different"
    assert len(steps) == -(-bad // 10) * 10  # all go on to the log point
    assert message.startswith(f"step {bad}: not finite (loss ")
    assert set(found["terms"]) == {"loss", "loss_labelled", "loss_unlabelled", "loss_mix", "mask_rate"}
    everyone = [set(rank[-1][bad - 1]["unlabelled"].tolist()) for rank in ranks]
    assert found["unlabelled"] and set(found["unlabelled"]) <= set.union(*everyone)
    assert set(found["labelled"]) <= set(steps[bad - 1]["labelled"].tolist())
    for rank in ranks:
        assert rank[:2] == (message, found)
        _, _, held, before, _ = rank
        assert set(held) == set(before) and len(held) > 40
        for name, tensor in before.items():
            assert tensor.isfinite().all(), name
            assert torch.equal(held[name], tensor), name
        assert held["labelled.counts"].sum() == 8 * (bad - 1)
    assert not (tmp_path / "broken/checkpoints").exists()


def test_it_is_an_error_of_one_line(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sets = [*SMALL, *EXPLODING, "steps=40", f"data={data}", f"out={tmp_path / 'run'}"]
    assert train.main(["--set", *sets]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and said.startswith("error: step ")
    content = status(tmp_path / "run")
    assert content["state"] == "failed" and f"error: {content['error']}\n" == said
    assert content["nonfinite"]["step"] > 1
    assert json.loads(json.dumps(content)) == content
    assert not (tmp_path / "run/checkpoints").exists() and not (tmp_path / "run/lock.json").exists()


def suspected(ranks: Ranks) -> tuple[str, dict[str, Any]]:
    """Step 4 was not finite, by its second labelled and its first and last generated image."""
    dataset = np.arange(5)
    labelled = labelled_order(dataset, VirtualShards(5, 1), 2, 0, 0, 1, sharded=False)
    groups, places = GroupsByClass.of(np.array([0]), np.array([1]), 2), Places(2, True, np.array([1, 2]))
    order = GroupOrder(labelled, np.zeros(5, np.int64), groups, places, 4, 0)
    sources = {
        "labelled": PartSource(Path("digits/train.beton"), labelled, LABELLED, strong=False),
        "augmented": PartSource(Path("digits-csm/images.beton"), order, AUGMENTED, strong=False),
    }
    sizes = {name: source.order.size for name, source in sources.items()}
    guard = Guard(torch.nn.Identity(), [], sizes, ["loss"], torch.zeros(1))
    guard.broken.fill_(1)
    guard.step.fill_(4)
    guard.suspects[[1, 2, 5]] = True
    with pytest.raises(RunError) as caught:
        guard.check(sources, ranks)
    found = caught.value.details["nonfinite"]
    assert found["labelled"] == [labelled.draw(3, 1)[0][0, 1]]
    assert found["augmented"] == order.draw(3, 1)[0][0, [0, 3]].tolist()
    return str(caught.value), found


def test_generated_images_are_named_by_their_own_file() -> None:
    message, found = alone(suspected)
    one, (first, last) = found["labelled"][0], found["augmented"]
    words = f"images of train.beton: labelled {one}; images of images.beton: augmented {first}, {last}. Nothing"
    assert words in message
