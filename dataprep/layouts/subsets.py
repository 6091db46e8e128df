"""Takes a part of a set: some classes, or a limited number of images of each."""

from collections import Counter
from dataclasses import dataclass

from dataprep.console import suggestion
from dataprep.layouts.listing import Listing
from dataprep.sources.entries import Entry
from dataprep.sources.path_hashes import keyed_hash

_SHOWN = 10  # class names in an error


@dataclass(frozen=True)
class SubsetRequest:
    """class_names: the classes to keep; () for all. limit: images of each class in each part; None for all.

    limit_seed: which images those are; with one seed a smaller limit gives a subset of a larger one.
    """

    class_names: tuple[str, ...] = ()
    limit: int | None = None
    limit_seed: int = 0


def take(listing: Listing, request: SubsetRequest) -> Listing:
    """The same listing, reduced; notes say what is left. Classes keep their order and are numbered anew.

    Raises ValueError for a class that does not exist, or when no test image is left.
    """
    if request.class_names:
        _keep_classes(listing, request.class_names)
    if request.limit is not None:
        before = {part: len(entries) for part, entries in listing.parts().items()}
        most = Counter(dict.fromkeys(range(len(listing.classes)), request.limit))
        most[-1] = request.limit * len(listing.classes)
        listing.train, listing.test, listing.validation = (
            _first(entries, most, request.limit_seed) for entries in (listing.train, listing.test, listing.validation)
        )
        kept = [f"{len(entries):,} of {before[part]:,} {part}" for part, entries in listing.parts().items()]
        listing.notes.append(f"--limit {request.limit}: {', '.join(kept)}")
    return listing


def _keep_classes(listing: Listing, names: tuple[str, ...]) -> None:
    unknown = next((name for name in names if name not in listing.classes), None)
    if unknown is not None:
        raise ValueError(f"--classes: there is no class {unknown!r}; {suggestion(unknown, listing.classes)}")
    kept = [name for name in listing.classes if name in names]
    number = {listing.classes.index(name): c for c, name in enumerate(kept)} | {-1: -1}
    listing.notes.append(f"--classes: {len(kept)} of {len(listing.classes):,} classes")
    listing.classes = kept
    listing.train, listing.test, listing.validation = (
        [entry._replace(label=number[entry.label]) for entry in entries if entry.label in number]
        for entries in (listing.train, listing.test, listing.validation)
    )
    if not listing.test:
        raise ValueError(f"--classes: there are no test images of these classes ({', '.join(kept[:_SHOWN])})")


def _first(entries: list[Entry], most: Counter[int], seed: int) -> list[Entry]:
    """At most most[label] entries of each label, those whose paths have the smallest hashes."""
    left, kept = Counter(most), []
    for entry in sorted(entries, key=lambda entry: keyed_hash(entry.path, f"calibratemix limit {seed}".encode())):
        left[entry.label] -= 1
        if left[entry.label] >= 0:
            kept.append(entry)
    return kept
