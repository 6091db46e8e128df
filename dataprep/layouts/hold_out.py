"""Cuts a test split off a set that has none: stratified, and decided by the paths alone."""

from collections import defaultdict

from dataprep.sources.entries import Entry
from dataprep.sources.path_hashes import held_out_order


def quotas(counts: list[int], total: int) -> list[int]:
    """Share `total` over classes in proportion to `counts`, by largest remainder.

    Every class keeps at least one image for training, so the sum may be below `total` when classes are tiny.
    """
    everything = max(sum(counts), 1)
    shares = [total * count // everything for count in counts]
    by_remainder = sorted(range(len(counts)), key=lambda c: -(total * counts[c] % everything))
    for c in by_remainder[: total - sum(shares)]:
        shares[c] += 1
    return [min(share, max(count - 1, 0)) for share, count in zip(shares, counts, strict=True)]


def spare(counts: list[int], shares: list[int], total: int) -> list[int]:
    """`shares` raised, where classes have images to spare, until they add up to `total`; largest classes first."""
    raised = list(shares)
    left = total - sum(raised)
    while left > 0 and (room := [c for c in range(len(counts)) if raised[c] < counts[c] - 1]):
        for c in sorted(room, key=lambda c: raised[c] - counts[c])[:left]:
            raised[c] += 1
            left -= 1
    return raised


def hold_out(entries: list[Entry], total: int) -> tuple[list[Entry], list[Entry], bool]:
    """Hold out about `total` test entries, stratified by label; labels must be >= 0.

    Returns (train, test, stratified). Where classes with a single image keep more than a tenth of the test split from
    being filled, classes that can spare more give more; where even then less than half can be had, it is drawn from all
    entries regardless of class, and `stratified` is False.
    """
    ranked = held_out_order(entries)
    by_class: dict[int, list[Entry]] = defaultdict(list)
    for entry in ranked:
        by_class[entry.label].append(entry)
    groups = [by_class[label] for label in sorted(by_class)]
    counts = [len(group) for group in groups]
    shares = quotas(counts, total)
    if sum(shares) < 0.9 * total:
        shares = spare(counts, shares, total)
    stratified = sum(shares) >= total / 2
    if not stratified:
        groups, shares = [ranked], [total]
    train = [entry for group, share in zip(groups, shares, strict=True) for entry in group[share:]]
    test = [entry for group, share in zip(groups, shares, strict=True) for entry in group[:share]]
    return train, test, stratified
