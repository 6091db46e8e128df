"""WebVision 1.0 as https://data.vision.ee.ethz.ch/cvl/webvision distributes it: lists, and images they name.

The lists alone decide what belongs to the set. Images lie in google/, flickr/ and val_images_256/, or in any
tars; those that are listed and nowhere to be found become rejects. Paths are the same from folders and tars.
"""

import os
from collections import Counter
from pathlib import Path

from dataprep.listing import Listing, Request, compare_count
from dataprep.sources import Entry, FileReader, FlatReader, MissingReader, Reader, ReaderSet, TarReader, list_tar

CLASSES, TRAIN, VAL_PER_CLASS = 1000, 2_439_574, 50  # published sizes
LISTS = {"google": "train_filelist_google.txt", "flickr": "train_filelist_flickr.txt", "val": "val_filelist.txt"}
VAL_FOLDERS = ("val_images_256", "val_images", "val")
MISSING, LOOSE, LOOSE_VAL = range(3)  # readers that are always there; those of tars follow

Labels = dict[str, int]  # by path: as listed for google and flickr, 'val/<name>' for validation images


def list_webvision(request: Request) -> Listing:
    """Training images of google and flickr, or, with fewer than all classes asked for, of google alone.

    Raises ValueError when a list is missing or malformed, or nothing that a list names can be found.
    """
    source = request.source
    assert source is not None
    if not source.is_dir():
        raise ValueError(f"--source {source}: name the directory that holds info/ and the images or their tars")
    synsets = _read_synsets(source / "info" / "synsets.txt")
    classes = _first(synsets, request.classes)
    mini = len(classes) < len(synsets)
    notes = ["only google images: the mini set as papers use it, from DivideMix on"] if mini else []
    wanted: Labels = {}
    for subset in LISTS:
        if not (mini and subset == "flickr"):
            wanted |= _read_list(source, subset, len(classes), len(synsets), notes)
    found, reader = _find(source, wanted)
    train, test = _entries(wanted, found)
    notes += _account(wanted, found, source) + _compare(classes, train, test, mini)
    return Listing(classes, train, test, reader, own_test=True, native_size=0, notes=notes)


def _find(source: Path, wanted: Labels) -> tuple[dict[str, Entry], ReaderSet]:
    """Where the listed images are, by path, still without label; tars are looked into only for the rest."""
    val = next((source / name for name in VAL_FOLDERS if (source / name).is_dir()), source / VAL_FOLDERS[0])
    readers: list[Reader] = [
        MissingReader("listed, but neither a file nor in a tar"),
        FileReader(f"{source.as_posix()}/"),
        FlatReader(f"{val.as_posix()}/"),
    ]
    found = _on_disk(source, val, wanted)
    if len(found) < len(wanted):
        found |= _in_tars(source, readers, {path: label for path, label in wanted.items() if path not in found})
    return found, ReaderSet(tuple(readers))


def _read_synsets(file: Path) -> list[str]:
    """The wnids of classes 0, 1, ...: the first word of each line."""
    wnids = [line.split()[0] for line in _lines(file) if line.strip()]
    if len(wnids) < 2 or len(set(wnids)) < len(wnids):
        raise ValueError(f"{file}: not a list of distinct synsets, one a line; fetch info/ again")
    return wnids


def _first(synsets: list[str], number: int | None) -> list[str]:
    if number is not None and number > len(synsets):
        raise ValueError(f"--classes {number}: info/synsets.txt has only {len(synsets)} classes")
    return synsets[:number]


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except FileNotFoundError as error:
        raise ValueError(f"{file} is missing; it comes with WebVision's info archive") from error


def _read_list(source: Path, subset: str, num_classes: int, num_known: int, notes: list[str]) -> Labels:
    """Label of each path of one list, those of the first `num_classes` classes only."""
    file = source / "info" / LISTS[subset]
    labels: Labels = {}
    count = 0
    for number, line in enumerate(_lines(file), start=1):
        if not line.strip():
            continue
        path, label = ["", *line.rsplit(maxsplit=1)][-2:]
        if not path or not label.isdecimal() or int(label) >= num_known:
            raise ValueError(f"{file}, line {number}: not 'path label' with a label below {num_known}: {line!r}")
        if int(label) < num_classes:
            count += 1
            path = path.strip().removeprefix("./")
            labels[f"val/{path.rpartition('/')[2]}" if subset == "val" else path] = int(label)
    notes.append(f"{subset}: {len(labels):,} images listed")
    if count > len(labels):
        notes.append(f"{file.name} names {count - len(labels)} paths more than once; the last label counts")
    return labels


def _on_disk(source: Path, val: Path, wanted: Labels) -> dict[str, Entry]:
    """Entries, still without label, of the paths that exist as loose files."""
    found: dict[str, Entry] = {}
    root = source.as_posix()
    places = {"google": source / "google", "flickr": source / "flickr", "val": val}
    there = {top for top, folder in places.items() if folder.is_dir()}
    for path in wanted:
        top, _, rest = path.partition("/")
        if top not in there:  # millions of files that can't exist need not be asked for
            continue
        try:
            size = os.stat(f"{val}/{rest}" if top == "val" else f"{root}/{path}").st_size  # noqa: PTH116 (millions)
        except OSError:
            continue
        found[path] = Entry(path, -1, size, 0, LOOSE_VAL if top == "val" else LOOSE)
    return found


def _in_tars(source: Path, readers: list[Reader], wanted: Labels) -> dict[str, Entry]:
    """The same of paths that are members of a tar in `source` or a folder in it, whatever wraps them there."""
    found: dict[str, Entry] = {}
    for tar in sorted([*source.glob("*.tar"), *source.glob("*/*.tar")]):
        before = len(found)
        for member in list_tar(tar):
            path = _listed_name(member.path, wanted)
            if path is not None and path not in found:
                found[path] = Entry(path, -1, member.size, member.offset, len(readers))
        if len(found) > before:
            readers.append(TarReader(str(tar)))
    return found


def _listed_name(member: str, wanted: Labels) -> str | None:
    """The listed path that a tar's member stands for: the longest tail of its name that is one."""
    parts = member.split("/")
    tails = ["/".join(parts[start:]) for start in range(len(parts))]
    return next((path for path in [*tails, f"val/{parts[-1]}"] if path in wanted), None)


def _account(wanted: Labels, found: dict[str, Entry], source: Path) -> list[str]:
    """Says what is missing, by subset. Raises ValueError when a subset is missing as a whole."""
    listed = Counter(path.partition("/")[0] for path in wanted)
    present = Counter(path.partition("/")[0] for path in found)
    notes = []
    for subset, count in listed.items():
        if not present[subset]:
            where = VAL_FOLDERS[0] if subset == "val" else subset
            raise ValueError(
                f"--source {source}: none of the {count:,} listed {subset} images; they belong into {where}/, "
                "or a tar of it beside info/"
            )
        if present[subset] < count:
            first = min(path for path in wanted if path.startswith(f"{subset}/") and path not in found)
            notes.append(
                f"{subset}: {count - present[subset]:,} of {count:,} listed images are missing, first {first}; "
                "all are named in rejected.csv"
            )
    return notes


def _entries(wanted: Labels, found: dict[str, Entry]) -> tuple[list[Entry], list[Entry]]:
    train: list[Entry] = []
    test: list[Entry] = []
    for path, label in wanted.items():
        entry = found.get(path) or Entry(path, -1, 0, 0, MISSING)
        (test if path.startswith("val/") else train).append(entry._replace(label=label))
    return train, test


def _compare(classes: list[str], train: list[Entry], test: list[Entry], mini: bool) -> list[str]:
    """Differences from the published set: a full one passes in silence. There is no official size of a mini set."""
    notes = compare_count("webvision validation images", len(test), len(classes) * VAL_PER_CLASS)
    if not mini:
        notes += compare_count("webvision classes", len(classes), CLASSES)
        notes += compare_count("webvision training images", len(train), TRAIN)
    return notes
