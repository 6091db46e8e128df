"""Mixed images on the global batch: the same on one and two ranks, and lambda's ends."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from pipeline import config
from pipeline.data import NO_VIEWS, Batch, Views
from pipeline.dataset import Dataset
from pipeline.distributed import Ranks
from pipeline.mixing import CalibrateMix, fetch_members, mix_pairs, pair_draws
from pipeline.pairing import Pairs
from pipeline.pseudo_labels import Problem, PseudoLabels
from pipeline.step import Inputs, Mixed, Numerics, Observed
from tests.ranks import alone, on_ranks

LABELLED, UNLABELLED, CLASSES, SIZE = 4, 12, 3, 8
SPLIT_LABELS = torch.tensor([0, 1, 2, 0, 1])
SLOTS = torch.tensor([3, 0, 3, 4])  # a repeat


def numerics(ranks: Ranks) -> Numerics:
    dataset = Dataset(
        *[None] * 6, mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.2), split=None, num_train=0, train_labels=None
    )  # type: ignore[arg-type]
    return Numerics("fp64", dataset, ranks.device)


def inputs(ranks: Ranks, step: int = 5) -> tuple[Inputs, Observed, PseudoLabels]:
    """The rank's part of one fixed global batch."""
    random = torch.Generator().manual_seed(1)
    images = [
        torch.randint(0, 256, (n, 3, SIZE, SIZE), dtype=torch.uint8, generator=random) for n in (LABELLED, UNLABELLED)
    ]
    logits = [torch.randn(n, CLASSES, dtype=torch.float64, generator=random) for n in (LABELLED, UNLABELLED)]
    features = [torch.randn(n, 5, dtype=torch.float64, generator=random) for n in (LABELLED, UNLABELLED)]
    mine = [slice(ranks.rank * n // ranks.world, (ranks.rank + 1) * n // ranks.world) for n in (LABELLED, UNLABELLED)]
    host = Batch(step, NO_VIEWS, SLOTS.numpy() * 10, np.arange(LABELLED), np.arange(1), np.arange(1))
    views = Views(images[0][mine[0]], images[1][mine[1]], images[1][mine[1]])
    rows = torch.arange(UNLABELLED // ranks.world)
    made = Inputs(step, views, SPLIT_LABELS[SLOTS[mine[0]]], SLOTS, rows, host)
    observed = Observed(logits[0][mine[0]], features[0][mine[0]], logits[1][mine[1]], features[1][mine[1]])
    guess = observed.unlabelled_logits.argmax(dim=1)
    return made, observed, PseudoLabels(guess, torch.ones(len(guess)))


def calibratemix(ranks: Ranks, *sets: str) -> Mixed:
    settings = config.load(
        None, ["dataset=x", "mixing.k_percent=30", f"batch.labelled={LABELLED}", "batch.ratio=3", *sets]
    )
    rows = UNLABELLED // ranks.world
    problem = Problem(settings, CLASSES, rows, UNLABELLED, torch.float64, ranks.device)
    mixing = CalibrateMix(problem, SPLIT_LABELS, 2, numerics(ranks), ranks)
    made, seen, pseudo = inputs(ranks)
    for _ in range(2):
        mixing.track(made, seen)
    mixed = mixing.mix(made, seen, pseudo)
    assert mixed is not None
    return mixed


def test_two_ranks_make_the_images_of_one() -> None:
    whole = alone(calibratemix)
    halves = on_ranks(2, calibratemix)
    assert torch.equal(torch.cat([h.images for h in halves]), whole.images)
    assert torch.equal(torch.cat([h.targets for h in halves]), whole.targets)
    torch.testing.assert_close(whole.targets.sum(dim=1), torch.ones(LABELLED, dtype=torch.float64))


def fetched(ranks: Ranks) -> torch.Tensor:
    return fetch_members(inputs(ranks)[0], torch.tensor([15, 0, 3, 4, 9, 9]), ranks)


def test_members_come_from_their_owner() -> None:
    whole = alone(fetched)
    views = alone(inputs)[0].views
    pool = torch.cat([views.labelled, views.weak])
    assert torch.equal(whole, pool[[15, 0, 3, 4, 9, 9]])
    assert torch.equal(torch.cat(on_ranks(2, fetched)), whole)


def with_lambda(ranks: Ranks, lam: float) -> tuple[Mixed, torch.Tensor, torch.Tensor]:
    made = inputs(ranks)[0]
    second = torch.tensor([4, 15, 7, 7])
    pairs = Pairs(torch.arange(4), second, torch.full((4,), lam, dtype=torch.float64))
    numbers = numerics(ranks)
    pool_labels = torch.arange(LABELLED + UNLABELLED) % CLASSES
    mixed = mix_pairs(made, pairs, pool_labels, CLASSES, numbers, ranks)
    pool = numbers.normalise(torch.cat([made.views.labelled, made.views.weak]))
    return mixed, pool, second


@pytest.mark.parametrize("lam", [1.0, 0.0])
def test_lambdas_ends_give_back_a_member(lam: float) -> None:
    mixed, pool, second = alone(with_lambda, lam)
    members = torch.arange(4) if lam == 1 else second
    assert torch.equal(mixed.images, pool[members])
    assert mixed.targets.argmax(dim=1).tolist() == (members % CLASSES).tolist()


@pytest.mark.parametrize(("per", "same_direction", "same_all"), [("step", 1, 1), ("direction", 1, 0), ("pair", 0, 0)])
def test_one_lambda_per(per: str, same_direction: int, same_all: int) -> None:
    made = alone(inputs)[0]
    settings = config.load(None, ["dataset=x", f"mixing.lambda_per={per}"])
    partner, easy, hard = pair_draws(settings, made.host)
    assert len(set(partner.tolist())) == LABELLED
    assert (len(set(easy.tolist())) == 1) == bool(same_direction)
    assert (easy.tolist() == hard.tolist()) == (per != "direction")
    again = pair_draws(settings, replace(made.host, step=6))
    assert (again[1].tolist() == easy.tolist()) == (per == "pair")  # else a function of the step
    assert same_all == (len({*easy.tolist(), *hard.tolist()}) == 1)


def test_lambda_is_beta_distributed() -> None:
    settings: Any = config.load(None, ["dataset=x", "mixing.lambda_per=pair", "mixing.alpha=0.4"])
    num = 20_000
    host = Batch(0, NO_VIEWS, np.arange(num), np.zeros(num, np.int64), np.arange(1), np.arange(1))
    lam = pair_draws(settings, host)[1]
    assert lam.mean() == pytest.approx(0.5, abs=0.01)
    assert lam.var() == pytest.approx(1 / (4 * (2 * 0.4 + 1)), abs=0.005)
