"""Mixed images of the pool: the same on one and two ranks, padded pairs, filters, and lambda's ends."""

from functools import partial
from typing import Any

import pytest
import torch

from pipeline.distributed import Ranks
from pipeline.methods.margins import label_margins
from pipeline.methods.mixes.calibratemix import CalibrateMix
from pipeline.methods.mixes.mixup import Mixup, RegMixup
from pipeline.methods.mixes.mixup_all import MixupAll
from pipeline.methods.mixes.random_mixup import RandomMixup
from pipeline.methods.pairing import hard_mask
from pipeline.methods.step_types import Group, Pairs
from tests.support.problems import LABELLED, LABELLED_ROWS, UNLABELLED, batch, mixed_by, mixing_pool, numerics, views
from tests.support.ranks import alone, on_ranks

SETS = {
    "features": (CalibrateMix, "mixing.k_percent=30"),
    "pixels, strong": (CalibrateMix, "mixing.similarity=pixel", "mixing.views=strong", "mixing.k_count=2"),
    "logits, two each": (CalibrateMix, "mixing.similarity=logit", "mixing.per_labelled=2", "mixing.halves=median"),
    "aum as Eq. 5": (CalibrateMix, "mixing.aum=ema", "mixing.lambda_per=pair", "mixing.fold_max=true"),
    "random": (RandomMixup, "mixing.lambda_per=pair"),
    "mixup": (Mixup, "algorithm=supervised", "mixing.alpha=1"),
    "features only": (RegMixup, "algorithm=supervised", "mixing.targets=nearer", "mixing.lambda_per=pair"),
    "all": (MixupAll, "mixing.all_k_percent=40"),
    "all, others": (MixupAll, "mixing.all_pairs=LE+UE UH+LE", "mixing.lambda_per=step"),
}


MEMBERS = torch.tensor([15, 0, 3, 4, 9, 9])


def everything(ranks: Ranks) -> Any:
    """All that is compared between numbers of ranks, in one start of them."""
    mixed = [mixed_by(ranks, mix, *sets) for mix, *sets in SETS.values()] + [with_lambda(ranks, 0.3, 3)[:2]]
    return mixed, mixing_pool(ranks).fetch(MEMBERS), local_members(ranks)


def local_members(ranks: Ranks) -> list[Any]:
    """Everything mixed on a rank when the scope is its own batch."""
    pairs, mixed = mixed_by(ranks, CalibrateMix, "mixing.scope=local", "mixing.k_percent=0")
    own = numerics().normalise(views(batch(ranks)[0]))
    share = pairs.lam.reshape(-1, 1, 1, 1)
    expected = share * own[pairs.first] + (1 - share) * own[pairs.second]
    return [len(pairs.lam), mixed.count, torch.equal(mixed.images, expected)]


def disagreeing(ranks: Ranks) -> tuple[Group, bool]:
    """Each rank has chosen other pairs; whether fetched images keep the layout of the views."""
    pool = mixing_pool(ranks)
    chosen = torch.tensor([[0, 1, 2, 3], [4, 15, 7, 8]]).roll(ranks.rank, dims=1)
    mixed = pool.mixed_group(Pairs(*chosen, torch.full((4,), 0.3 + ranks.rank / 2, dtype=torch.float64)))
    pool.__dict__["images"] = pool.images.contiguous(memory_format=torch.channels_last)  # as views come from the loader
    fetched = pool.fetch(MEMBERS)
    assert torch.equal(fetched.contiguous(), mixing_pool(ranks).fetch(MEMBERS).contiguous())
    return mixed, fetched.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.xdist_group("ranks")
def test_all_ranks_mix_the_pairs_of_the_first_in_channels_last() -> None:
    """GPUs of two models may round similarities differently; members asked for by one rank alone came as black."""
    (whole, kept), halves = alone(disagreeing), on_ranks(2, disagreeing)
    for field in ("images", "targets", "image_weights"):
        together = torch.cat([getattr(mixed, field) for mixed, _ in halves])
        assert torch.equal(together, getattr(whole, field)), field
    assert [kept, *(each for _, each in halves)] == [True] * 3


@pytest.mark.xdist_group("ranks")
def test_two_ranks_make_the_images_of_one() -> None:
    one, two = alone(everything), on_ranks(2, everything)
    for name, whole, *halves in zip([*SETS, "an odd count"], one[0], *(rank[0] for rank in two), strict=True):
        _compare(name, whole, halves)
    assert torch.equal(one[1], views(alone(batch)[0])[MEMBERS])
    assert torch.equal(torch.cat([rank[1] for rank in two]), one[1]), "members come from their owner"
    assert [rank[2] for rank in two] == [[2, 4, True]] * 2, "local scope pairs within the rank, and counts over all"


def _compare(name: str, one: tuple[Pairs, Group], halves: list[tuple[Pairs, Group]]) -> None:
    """Also where the pairs do not divide by the ranks: the padding has no weight."""
    pairs, whole = one
    for field in ("first", "second", "lam"):
        assert all(torch.equal(getattr(half, field), getattr(pairs, field)) for half, _ in halves), name
    count = len(pairs.lam)
    images, targets, weight = (
        torch.cat([getattr(mixed, f) for _, mixed in halves]) for f in ("images", "targets", "image_weights")
    )
    assert torch.equal(images[:count], whole.images), name
    assert torch.equal(targets[:count], whole.targets), name
    assert weight.tolist() == [1.0] * count + [0.0] * (len(weight) - count), name
    if whole.targets.ndim == 2:  # not one class an image
        torch.testing.assert_close(whole.targets.sum(dim=1), torch.ones(count, dtype=torch.float64))
    assert {mixed.count for _, mixed in halves} == {count} == {whole.count}


def with_lambda(ranks: Ranks, lam: float, count: int = 4) -> Any:
    pool = mixing_pool(ranks)
    second = torch.tensor([4, 15, 7, 7])[:count]
    pairs = Pairs(torch.arange(count), second, torch.full((count,), lam, dtype=torch.float64))
    labels = torch.cat([pool.inputs.labelled.labels, pool.pseudo.label])
    return pairs, pool.mixed_group(pairs), numerics().normalise(views(pool.inputs)), labels


@pytest.mark.parametrize("lam", [1.0, 0.0])
def test_lambdas_ends_give_back_a_member(lam: float) -> None:
    pairs, mixed, images, labels = alone(with_lambda, lam)
    members = pairs.first if lam == 1 else pairs.second
    assert torch.equal(mixed.images, images[members])
    assert torch.equal(mixed.targets.argmax(dim=1), labels[members])


def test_unsure_pairs_do_not_count() -> None:
    pairs, everyone = alone(mixed_by, CalibrateMix, "mixing.k_percent=0")
    confidence = alone(batch)[1].unlabelled.logits.softmax(1).amax(1)[pairs.second - LABELLED]
    threshold = confidence.sort().values[2].item()
    _, mixed = alone(mixed_by, CalibrateMix, f"mixing.min_confidence={threshold}", "mixing.k_percent=0")
    assert mixed.image_weights.tolist() == [float(c >= threshold) for c in confidence.tolist()]
    assert 0 < mixed.image_weights.sum() < LABELLED
    assert mixed.count == everyone.count == LABELLED


def test_pairs_count_by_the_confidence_of_their_pseudo_label() -> None:
    """A label counts fully; of two pseudo-labels both confidences count."""
    observed = alone(batch)[1]
    trust = [1.0] * LABELLED + observed.unlabelled.logits.softmax(1).amax(1).tolist()
    for options in ("mixing.k_percent=0",), ("mixing.members=unlabelled",):
        mix = CalibrateMix if "k_percent" in options[0] else RandomMixup
        pairs, mixed = alone(mixed_by, mix, "mixing.trust=confidence", *options)
        expected = [trust[a] * trust[b] for a, b in zip(pairs.first.tolist(), pairs.second.tolist(), strict=True)]
        assert mixed.image_weights.tolist() == pytest.approx(expected)
        assert mixed.count == len(pairs.lam) and max(expected) < 1


def hard_images() -> tuple[torch.Tensor, torch.Tensor]:
    """Of the fixed batch, always seen with the same logits: by mean margin of the label, and by the top margin."""
    inputs, observed, pseudo = alone(batch)
    margins = label_margins(observed.labelled.logits, inputs.labelled.labels)
    aum = torch.stack([margins[row == LABELLED_ROWS].mean() for row in LABELLED_ROWS])
    return hard_mask(aum, "rank"), hard_mask(label_margins(observed.unlabelled.logits, pseudo.label), "rank")


def test_supervised_mixes_easy_with_hard_labelled() -> None:
    pairs, mixed = alone(partial(mixed_by, unlabelled=0), CalibrateMix, "algorithm=supervised")
    assert pairs.first.tolist() == list(range(LABELLED))
    assert mixed.images.shape[0] == LABELLED
    inputs, observed, _ = alone(batch)
    margins = label_margins(observed.labelled.logits, inputs.labelled.labels)
    aum = torch.stack([margins[row == LABELLED_ROWS].mean() for row in LABELLED_ROWS])
    hard = hard_mask(aum, "rank")
    assert (hard[pairs.first] != hard[pairs.second]).all()


@pytest.mark.parametrize("where", ["both", "labelled", "unlabelled"])
def test_random_pairs_are_two_members_of_their_pool(where: str) -> None:
    pairs, _ = alone(mixed_by, RandomMixup, f"mixing.members={where}", "mixing.per_labelled=500")
    low, high = {"both": (0, 16), "labelled": (0, 4), "unlabelled": (4, 16)}[where]
    assert len(pairs.lam) == 500 * LABELLED
    assert (pairs.first != pairs.second).all()
    for members in (pairs.first, pairs.second):
        counts = torch.bincount(members, minlength=LABELLED + UNLABELLED).double()
        inside = counts[low:high]
        assert counts.sum() == inside.sum()
        assert (inside / len(members) * (high - low) - 1).abs().max() < 0.35  # uniform: five sigma


def test_all_pairs_come_from_their_sets() -> None:
    """4 labelled and 12 unlabelled: LE+LH, LE+UH, LH+UE give 2 each, UE+UH gives 6."""
    pairs, mixed = alone(mixed_by, MixupAll)
    assert mixed.count == 2 + 2 + 2 + 6
    (_, first), (_, reverse) = (alone(mixed_by, MixupAll, f"mixing.all_pairs={p}") for p in ("LE+LH", "LH+LE"))
    assert first.count == reverse.count == 2
    easy, hard, easy_u = pairs.first[0:2].tolist(), pairs.first[4:6].tolist(), pairs.first[6:12].tolist()
    hard_l, hard_u = hard_images()
    assert sorted(easy) == (~hard_l).nonzero().flatten().tolist()
    assert sorted(hard) == hard_l.nonzero().flatten().tolist()
    assert sorted(easy_u) == ((~hard_u).nonzero().flatten() + LABELLED).tolist()
    assert set(pairs.second[0:2].tolist()) <= set(hard)
    assert set(pairs.second[4:6].tolist()) <= set(easy_u)
    assert not set(pairs.second[2:4].tolist()) & set(easy_u)
    assert not set(pairs.second[6:12].tolist()) & set(easy_u)
    assert all(i >= LABELLED for i in pairs.second[2:].tolist())
