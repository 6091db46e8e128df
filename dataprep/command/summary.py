"""Which classes a set has, and how many images of each part and class: said before and after anything is written."""

from collections import Counter

from dataprep.console import plural
from dataprep.data_folder.manifest import Counts, Manifest
from dataprep.layouts.listing import Listing

SHOWN = 10  # classes named in full; of more, the first ones and the last


def listed(listing: Listing) -> list[str]:
    """One line on the classes and one on each part, of the images that have been found."""
    lines = [_classes(listing.classes)]
    for part, entries in (("train", listing.train), ("validation", listing.validation), ("test", listing.test)):
        counts = Counter(entry.label for entry in entries)
        unlabelled = counts.pop(-1, 0)
        if entries:
            lines.append(_part(part, [counts[c] for c in range(len(listing.classes))], unlabelled, listing.classes))
    return lines


def stored(content: Manifest) -> list[str]:
    """The same of a finished data folder."""
    classes, counts = content["classes"], content["counts"]
    return [
        _classes(classes),
        *(_part(part, per_class, unlabelled, classes) for part, per_class, unlabelled in _parts(counts)),
    ]


def ranges(counts: Counts) -> str:
    """'31 train (10 to 11 a class, 5 unlabelled), 30 test (10 a class)'."""
    words = []
    for part, per_class, unlabelled in _parts(counts):
        more = f", {unlabelled} unlabelled" if unlabelled else ""
        words.append(f"{sum(per_class) + unlabelled} {part} ({_range(per_class)} a class{more})")
    return ", ".join(words)


def _parts(counts: Counts) -> list[tuple[str, list[int], int]]:
    """(name, images of each class, images without a label) of each part that a folder has."""
    parts = [("train", counts["train_per_class"], counts["unlabelled"])]
    if validation := counts.get("validation_per_class"):
        parts.append(("validation", validation, 0))
    return [*parts, ("test", counts["test_per_class"], 0)]


def _classes(classes: list[str]) -> str:
    names = classes if len(classes) <= SHOWN else [*classes[: SHOWN - 1], "...", classes[-1]]
    return f"{len(classes)} classes: {', '.join(names)}"


def _part(part: str, per_class: list[int], unlabelled: int, classes: list[str]) -> str:
    fewest, most = min(per_class), max(per_class)
    spread = f"{most} of each class"
    if fewest < most:
        smallest, largest = classes[per_class.index(fewest)], classes[per_class.index(most)]
        spread = f"from {fewest} ({smallest}) to {most} ({largest}) of a class"
    without = f", and {unlabelled:,} without a label" if unlabelled else ""
    return f"{part}: {plural(sum(per_class), 'image')}, {spread}{without}"


def _range(per_class: list[int]) -> str:
    fewest, most = min(per_class), max(per_class)
    return f"{most}" if fewest == most else f"{fewest} to {most}"
