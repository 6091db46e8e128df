"""The schedule against the formulas of its sources."""

import dataclasses
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import config as configuration
from pipeline.config import Config
from pipeline.training.schedule import Schedule, with_steps

SUPERVISED = ("dataset=any", "algorithm=supervised")


def schedule(*sets: str, labelled: int = 1280) -> Schedule:
    return Schedule(with_steps(configuration.load(None, [*SUPERVISED, *sets]), labelled), labelled)


@pytest.mark.parametrize(("share", "rate"), [(0, 0.03), (0.25, 0.028246322), (0.5, 0.023190314), (1, 0.005852710)])
def test_cosine_of_the_reference(share: float, rate: float) -> None:
    paper = Schedule(Config(dataset="cifar10"), 40)
    assert paper.learning_rate(int(share * 2**20)) == pytest.approx(rate, abs=1e-9)


def test_drops_at_milestones() -> None:
    """200 epochs of 10 steps; .1, from epoch 60 on .05, from 120 on .025, from 160 on .0125: "halved at"."""
    options = ("optimizer.schedule=step", "optimizer.milestones=60 120 160", "optimizer.gamma=.5", "optimizer.lr=.1")
    halved = schedule(*options, "epochs=200", "batch.labelled=128")
    assert halved.config.steps == 2000
    rates = [halved.learning_rate(step) for step in (0, 599, 600, 1199, 1200, 1599, 1600, 1999)]
    assert rates == [0.1, 0.1, 0.05, 0.05, 0.025, 0.025, 0.0125, 0.0125]


def test_warm_up_of_large_batches() -> None:
    """Goyal et al. 2017: .1 for a batch of 256; 1,024 reach .4 after 5 epochs, from .1 on, in equal steps."""
    options = ("optimizer.lr=.1", "optimizer.lr_batch=256", "optimizer.warmup_epochs=5", "optimizer.schedule=step")
    goyal = schedule(*options, "optimizer.milestones=[30, 60, 80]", "epochs=90", "batch.labelled=1024", labelled=10240)
    rates = [goyal.learning_rate(step) for step in range(51)]
    assert rates[0] == pytest.approx(0.1 + 0.3 / 50)
    assert rates[49] == rates[50] == pytest.approx(0.4)
    assert [b - a for a, b in pairwise(rates[:50])] == pytest.approx([0.3 / 50] * 49)
    assert [goyal.learning_rate(10 * epoch) for epoch in (30, 60, 80)] == pytest.approx([0.04, 0.004, 0.0004])


@pytest.mark.parametrize(("name", "middle", "end"), [("cosine", 0.05, 0.0), ("constant", 0.1, 0.1)])
def test_other_curves_begin_after_the_warm_up(name: str, middle: float, end: float) -> None:
    options = (f"optimizer.schedule={name}", "optimizer.lr=.1", "optimizer.warmup_epochs=10", "epochs=110")
    one = schedule(*options, "batch.labelled=128")
    rates = [one.learning_rate(step) for step in (49, 100, 600, 1100)]
    assert rates == pytest.approx([0.05, 0.1, middle, end])


def test_usbs_warm_up_in_steps() -> None:
    """5,120 of 204,800 steps up to 5e-4, then its cosine, which ends at .195 of that."""
    sets = "optimizer.lr=5e-4", "optimizer.warmup_steps=5120", "steps=204800"
    usb = Schedule(configuration.load(None, ["dataset=any", *sets]), 200)
    rates = [usb.learning_rate(step) for step in (0, 2559, 5119, 5120, 204800)]
    assert rates == pytest.approx([5e-4 / 5120, 2.5e-4, 5e-4, 5e-4, 5e-4 * 0.195090322])


@given(st.integers(1, 400), st.integers(1, 50), st.integers(1, 6))
def test_epochs_see_every_image_as_often(labelled: int, batch: int, epochs: int) -> None:
    """Steps come within half a batch of whole passes; an epoch ends with the step that sees its last image."""
    run = schedule(f"epochs={epochs}", f"batch.labelled={batch}", labelled=labelled)
    assert run.config.steps == 1 or abs(run.config.steps * batch - epochs * labelled) <= batch / 2
    passes = [step * batch // labelled for step in range(run.config.steps + 1)]
    ends = [step for step in range(1, len(passes)) if passes[step] > passes[step - 1]]
    assert [step for step in range(1, len(passes)) if run.due(None, step)] == ends
    assert [step for step in range(1, len(passes)) if run.due(3, step)] == list(range(3, len(passes), 3))


def test_what_has_no_epochs_keeps_its_steps() -> None:
    given = dataclasses.replace(Config(dataset="any"), steps=77)
    assert with_steps(given, 5) is given


def test_mixing_must_begin_before_the_last_epoch() -> None:
    """Known only once the data are: 1 epoch of 10 steps."""
    with pytest.raises(ValueError, match="would never mix"):
        schedule("mix=calibratemix", "warmup_steps=10", "epochs=1", "batch.labelled=128")


def test_equal_data_sees_as_many_images() -> None:
    """N_aug = 2: a third of the steps, and milestones, warm-up and epochs of the log as much earlier."""
    options = (
        "augmented.dataset=any-csm",
        "augmented.equal_data=true",
        "epochs=30",
        "batch.labelled=32",
        "eval_every=null",
    )
    drops = ("optimizer.schedule=step", "optimizer.milestones=12 18", "optimizer.warmup_epochs=3", "optimizer.lr=.1")
    equal = schedule(*options, *drops)
    plain = schedule(*options[2:], *drops)
    assert (equal.config.steps, plain.config.steps) == (400, 1200)
    assert equal.config.steps * equal.config.images_per_step == plain.config.steps * plain.config.images_per_step
    rates = [equal.learning_rate(step) for step in (0, 39, 159, 160, 239, 240)]
    assert rates == pytest.approx([0.1 / 40, 0.1, 0.1, 0.01, 0.01, 0.001])
    due = [step for step in range(1, 401) if equal.due(equal.config.eval_every, step)]
    assert len(due) == 30 and due[-1] == 400
    assert schedule(*options, "augmented.per_image=1").config.steps == 600
    assert schedule("augmented.dataset=any-csm", *options[2:]).config.steps == 1200
