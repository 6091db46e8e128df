"""What a data set yields, whatever it is made from, and the order and test split drawn from paths."""

import hashlib
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from dataprep.sources import Entry, Reader


@dataclass(frozen=True)
class Request:
    """What a data set is asked for.

    source: where it lies. work: a folder for temporaries. test_fraction: the share to hold out.
    download: missing files may be fetched into `source`. classes: only that many, the first (None: all).
    extra: with the images that a set offers beyond its training split.
    """

    source: Path | None
    work: Path
    test_fraction: float
    download: bool = False
    classes: int | None = None
    extra: bool = True


@dataclass
class Listing:
    """Entries of a set with their reader.

    own_test: the source names its test images itself, so `test_fraction` plays no part.
    native_size: side shared by all images (square), 0 if they have none in common, None if not looked at.
    """

    classes: list[str]
    train: list[Entry]
    test: list[Entry]
    reader: Reader
    own_test: bool
    native_size: int | None = None
    notes: list[str] = field(default_factory=list)


def compare_count(what: str, found: int, official: int) -> list[str]:
    """A note when `found` differs from the published number: a subset is fine, but nobody should miss it."""
    if found == official:
        return []
    word = "fewer" if found < official else "more"
    return [f"{what}: {found:,}, {abs(official - found):,} {word} than the official {official:,}"]


def keyed_hash(path: str, key: bytes) -> bytes:
    """16 bytes that depend on `path` and `key` only: the same on every machine and file system."""
    return hashlib.blake2b(path.encode("utf-8", "surrogateescape"), key=key, digest_size=16).digest()


def beton_order(entries: Iterable[Entry]) -> list[Entry]:
    """Entries in the order they are stored: shuffled, so that any contiguous stretch is a random subset."""
    return sorted(entries, key=lambda entry: keyed_hash(entry.path, b"calibratemix order"))


def quotas(counts: list[int], total: int) -> list[int]:
    """Share `total` over classes in proportion to `counts`, by largest remainder.

    A class keeps at least one image for itself, so the sum may be below `total` for tiny classes.
    """
    everything = max(sum(counts), 1)
    shares = [total * count // everything for count in counts]
    by_remainder = sorted(range(len(counts)), key=lambda c: -(total * counts[c] % everything))
    for c in by_remainder[: total - sum(shares)]:
        shares[c] += 1
    return [min(share, max(count - 1, 0)) for share, count in zip(shares, counts, strict=True)]


def hold_out(entries: list[Entry], total: int) -> tuple[list[Entry], list[Entry], bool]:
    """Cut about `total` test entries off, stratified by label, chosen by a hash of the path.

    Returns (train, test, stratified). Where every class is too small to give one away, the test part is
    drawn over all entries instead and `stratified` is False. Labels must be >= 0.
    """
    ranked = sorted(entries, key=lambda entry: keyed_hash(entry.path, b"calibratemix test"))
    members: dict[int, list[Entry]] = defaultdict(list)
    for entry in ranked:
        members[entry.label].append(entry)
    groups = [members[label] for label in sorted(members)]
    shares = quotas([len(group) for group in groups], total)
    stratified = sum(shares) > 0
    if not stratified:
        groups, shares = [ranked], [total]
    train = [entry for group, share in zip(groups, shares, strict=True) for entry in group[share:]]
    test = [entry for group, share in zip(groups, shares, strict=True) for entry in group[:share]]
    return train, test, stratified


def files_sha256(entries: list[Entry]) -> str:
    """sha256 over the lines 'path<tab>label<tab>bytes' in the given order: which files went in, and where."""
    digest = hashlib.sha256()
    for entry in entries:
        line = f"{entry.path}\t{entry.label}\t{entry.size}\n"
        digest.update(line.encode("utf-8", "surrogateescape"))
    return digest.hexdigest()
