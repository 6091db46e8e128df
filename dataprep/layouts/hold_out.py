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


def hold_out(entries: list[Entry], total: int) -> tuple[list[Entry], list[Entry], bool]:
    """Hold out about `total` test entries, stratified by label; labels must be >= 0.

    Returns (train, test, stratified). Where every class is too small to spare an image, the test split is drawn
    from all entries regardless of class, and `stratified` is False.
    """
    ranked = held_out_order(entries)
    by_class: dict[int, list[Entry]] = defaultdict(list)
    for entry in ranked:
        by_class[entry.label].append(entry)
    groups = [by_class[label] for label in sorted(by_class)]
    shares = quotas([len(group) for group in groups], total)
    stratified = sum(shares) > 0
    if not stratified:
        groups, shares = [ranked], [total]
    train = [entry for group, share in zip(groups, shares, strict=True) for entry in group[share:]]
    test = [entry for group, share in zip(groups, shares, strict=True) for entry in group[:share]]
    return train, test, stratified
