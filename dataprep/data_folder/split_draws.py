"""Which training images count as labelled: positions in train.beton, drawn from a seed alone."""

from collections.abc import Callable, Iterable
from functools import partial
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Positions = NDArray[np.int64]
Draw = Callable[[Positions, int], Positions]

# numpy freezes RandomState's stream for good; Generator's may change between versions.
_PER_CLASS, _PLAIN = 1, 2


def class_counts(labels: Positions, num_classes: int) -> list[int]:
    """Number of images of each class; label -1 is not counted."""
    return [int(n) for n in np.bincount(labels[labels >= 0], minlength=num_classes)]


def positions_by_class(labels: Positions, num_classes: int) -> list[Positions]:
    """Sorted positions of each class [num_classes]; positions with label -1 are in none."""
    order = np.argsort(labels, kind="stable").astype(np.int64)
    borders = np.searchsorted(labels[order], np.arange(num_classes + 1))
    return [order[a:b] for a, b in pairwise(borders)]


def draw_per_class(labels: Positions, seed: int, *, num_classes: int, count: int) -> Positions:
    """Exactly `count` positions of every class, sorted int64 [num_classes * count].

    With the same seed a smaller count is a subset of a larger one. Raises ValueError when a class has too few.
    """
    groups = positions_by_class(labels, num_classes)
    short = [c for c, group in enumerate(groups) if len(group) < count]
    if short:
        raise ValueError(f"class {short[0]} has {len(groups[short[0]])} labelled images, {count} are needed")
    return _join(_shuffled(group, seed, _PER_CLASS, c)[:count] for c, group in enumerate(groups))


def draw_stratified(labels: Positions, seed: int, *, num_classes: int, fraction: float) -> Positions:
    """`fraction` of all labelled positions, shared over the classes as `stratified_counts` says; sorted int64."""
    groups = positions_by_class(labels, num_classes)
    counts = stratified_counts([len(group) for group in groups], fraction)
    return _join(_shuffled(group, seed, _PER_CLASS, c)[: counts[c]] for c, group in enumerate(groups))


def stratified_counts(counts: list[int], fraction: float) -> list[int]:
    """Images of each class that together are `fraction` of all, rounded, in proportion to the class sizes `counts`.

    Every class that has images gets one at least; only where that alone is more than the fraction are they more.
    """
    exact = [fraction * count for count in counts]
    shares = [max(int(share), min(count, 1)) for share, count in zip(exact, counts, strict=True)]
    left = int(fraction * sum(counts) + 0.5) - sum(shares)
    by_remainder = sorted(range(len(counts)), key=lambda c: shares[c] - exact[c])
    for c in by_remainder[: max(left, 0)]:
        shares[c] += 1
    while sum(shares) > max(int(fraction * sum(counts) + 0.5), sum(count > 0 for count in counts)):
        shares[max(range(len(counts)), key=lambda c: (shares[c] > 1, shares[c] - exact[c]))] -= 1
    return shares


def draw_validation(labels: Positions, seed: int, *, num_classes: int, count: int) -> Positions:
    """`count` labelled positions that training is to leave out, in proportion to the classes; sorted int64.

    They are the last of each class in the order of which `draw_per_class` and `draw_stratified` take the first, so that
    with one seed they share an image only where a class has too few for both. Raises ValueError unless some are left.
    """
    groups = positions_by_class(labels, num_classes)
    total = sum(len(group) for group in groups)
    if count >= total:
        raise ValueError(f"{count} validation images of {total} labelled ones leave none to train on")
    shares = stratified_counts([len(group) for group in groups], count / total)
    drawn = (_shuffled(group, seed, _PER_CLASS, c) for c, group in enumerate(groups))
    return _join(order[len(order) - share :] for order, share in zip(drawn, shares, strict=True))


def draw_fraction(labels: Positions, seed: int, *, fraction: float) -> Positions:
    """`fraction` of all labelled positions, rounded, at least one, regardless of class; sorted int64."""
    labelled = draw_all(labels, seed)
    return np.sort(_shuffled(labelled, seed, _PLAIN, 0)[: max(int(fraction * len(labelled) + 0.5), 1)])


def draw_all(labels: Positions, seed: int) -> Positions:
    """Every position whose label is not -1; the seed has no influence."""
    return np.flatnonzero(labels >= 0).astype(np.int64)


def named_draws(
    per_class: Iterable[int], fraction: float, num_classes: int, validation: Iterable[int] = ()
) -> dict[str, Draw]:
    """The ways of drawing by name: '4', '25', ... per class, '10pct', '10pct-stratified', 'all', 'validation-5000'."""
    percent = f"{100 * fraction:.6g}pct"
    draws: dict[str, Draw] = {
        str(count): partial(draw_per_class, num_classes=num_classes, count=count) for count in per_class
    }
    draws[percent] = partial(draw_fraction, fraction=fraction)
    draws[f"{percent}-stratified"] = partial(draw_stratified, num_classes=num_classes, fraction=fraction)
    draws["all"] = draw_all
    for count in validation:
        draws[f"validation-{count}"] = partial(draw_validation, num_classes=num_classes, count=count)
    return draws


def _shuffled(positions: Positions, seed: int, tag: int, class_index: int) -> Positions:
    return np.random.RandomState([seed, tag, class_index]).permutation(positions)


def _join(groups: Iterable[Positions]) -> Positions:
    return np.sort(np.concatenate(list(groups)))
