"""WebVision 1.0 as https://data.vision.ee.ethz.ch/cvl/webvision distributes it: lists, and the images they name.

The lists alone decide what belongs to the set. Images lie in google/, flickr/ and val_images_256/, or in any
tars; those that are listed but found nowhere become rejects. Paths are the same from folders and tars.
"""

from collections import Counter
from pathlib import Path

from dataprep.console import plural
from dataprep.layouts.listing import Listing, ListingRequest
from dataprep.layouts.published import compare_count
from dataprep.sources.directories import size_and_stamp
from dataprep.sources.entries import Entry, Reader
from dataprep.sources.readers import FileReader, FlatReader, MissingReader, ReaderSet, TarReader
from dataprep.sources.tars import list_tar

CLASSES, TRAIN_IMAGES, VAL_PER_CLASS = 1000, 2_439_574, 50  # published sizes
LISTS = {"google": "train_filelist_google.txt", "flickr": "train_filelist_flickr.txt", "val": "val_filelist.txt"}
VAL_FOLDERS = ("val_images_256", "val_images", "val")
MISSING, LOOSE, LOOSE_VAL = range(3)  # the readers that are always there; those of tars follow

Labels = dict[str, int]  # by path: as listed for google and flickr, 'val/<name>' for validation images


def list_webvision(request: ListingRequest) -> Listing:
    """Training images of google and flickr; of google alone when fewer than all classes are requested.

    Raises ValueError when a list is missing or malformed, or nothing that a list names can be found.
    """
    source = request.source_path()
    if not source.is_dir():
        raise ValueError(f"--source {source}: name the directory that holds info/ and the images or their tars")
    synsets = _read_synsets(source / "info" / "synsets.txt")
    classes = _first(synsets, request.classes)
    mini = len(classes) < len(synsets)
    notes = ["only google images: the mini set as used in papers since DivideMix"] if mini else []
    wanted: Labels = {}
    for subset in LISTS:
        if not (mini and subset == "flickr"):
            wanted |= _read_list(source, subset, len(classes), len(synsets), notes)
    found, reader = _find(source, wanted)
    train, test = _entries(wanted, found)
    notes += _report_missing(wanted, found, source) + _compare(classes, train, test, mini)
    return Listing(
        classes=classes,
        train=train,
        test=test,
        reader=reader,
        has_test_split=True,
        native_size=0,
        notes=notes,
    )


def _find(source: Path, wanted: Labels) -> tuple[dict[str, Entry], ReaderSet]:
    """Entries of the listed images, by path, not labelled yet; tars are searched only for what is not a loose file."""
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
        raise ValueError(f"{file}: not a list of distinct synsets, one per line; download info/ again")
    return wnids


def _first(synsets: list[str], number: int | None) -> list[str]:
    if number is not None and number > len(synsets):
        raise ValueError(f"--classes {number}: info/synsets.txt has only {len(synsets)} classes")
    return synsets[:number]


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except FileNotFoundError as error:
        raise ValueError(
            f"{file} is missing; unpack info.tar there, from https://data.vision.ee.ethz.ch/cvl/webvision/download.html"
        ) from error


def _read_list(source: Path, subset: str, num_classes: int, num_known: int, notes: list[str]) -> Labels:
    """The label of each path of one list, for the first `num_classes` of `num_known` classes only."""
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
        notes.append(f"{file.name} repeats {plural(count - len(labels), 'path')}; the last label counts")
    return labels


def _on_disk(source: Path, val: Path, wanted: Labels) -> dict[str, Entry]:
    """Entries, not labelled yet, of the paths that exist as loose files."""
    found: dict[str, Entry] = {}
    root = source.as_posix()
    folders = {"google": source / "google", "flickr": source / "flickr", "val": val}
    existing = {top for top, folder in folders.items() if folder.is_dir()}
    for path in wanted:
        top, _, rest = path.partition("/")
        if top not in existing:  # saves millions of look-ups that cannot succeed
            continue
        size, stamp = size_and_stamp(f"{val}/{rest}" if top == "val" else f"{root}/{path}")
        if not stamp:
            continue
        reader = LOOSE_VAL if top == "val" else LOOSE
        found[path] = Entry(path=path, label=-1, size=size, offset=0, reader=reader, stamp=stamp)
    return found


def _in_tars(source: Path, readers: list[Reader], wanted: Labels) -> dict[str, Entry]:
    """The same for paths that are members of a tar in `source` or one of its folders; adds readers of those tars."""
    found: dict[str, Entry] = {}
    for tar in sorted([*source.glob("*.tar"), *source.glob("*/*.tar")]):
        before = len(found)
        for member in list_tar(tar):
            path = _listed_name(member.path, wanted)
            if path is not None and path not in found:
                found[path] = member._replace(path=path, reader=len(readers))
        if len(found) > before:
            readers.append(TarReader(str(tar)))
    return found


def _listed_name(member: str, wanted: Labels) -> str | None:
    """The listed path of a tar's member: the longest tail of its name that is listed."""
    parts = member.split("/")
    tails = ["/".join(parts[start:]) for start in range(len(parts))]
    return next((path for path in [*tails, f"val/{parts[-1]}"] if path in wanted), None)


def _report_missing(wanted: Labels, found: dict[str, Entry], source: Path) -> list[str]:
    """Notes on missing images, one per subset. Raises ValueError when a whole subset is missing."""
    listed = Counter(path.partition("/")[0] for path in wanted)
    present = Counter(path.partition("/")[0] for path in found)
    notes = []
    for subset, count in listed.items():
        if not present[subset]:
            where = VAL_FOLDERS[0] if subset == "val" else subset
            raise ValueError(
                f"--source {source}: none of the {count:,} listed {subset} images was found; they are expected in "
                f"{where}/, or in a tar beside info/"
            )
        if present[subset] < count:
            first = min(path for path in wanted if path.startswith(f"{subset}/") and path not in found)
            notes.append(
                f"{subset}: {count - present[subset]:,} of {count:,} listed images are missing, for example {first}; "
                "rejected.csv names all of them"
            )
    return notes


def _entries(wanted: Labels, found: dict[str, Entry]) -> tuple[list[Entry], list[Entry]]:
    train: list[Entry] = []
    test: list[Entry] = []
    for path, label in wanted.items():
        entry = found.get(path) or Entry(path=path, label=-1, size=0, offset=0, reader=MISSING)
        (test if path.startswith("val/") else train).append(entry._replace(label=label))
    return train, test


def _compare(classes: list[str], train: list[Entry], test: list[Entry], mini: bool) -> list[str]:
    """Deviations from the published counts; none for the full set. A mini set has no official training size."""
    notes = compare_count("webvision validation images", len(test), len(classes) * VAL_PER_CLASS)
    if not mini:
        notes += compare_count("webvision classes", len(classes), CLASSES)
        notes += compare_count("webvision training images", len(train), TRAIN_IMAGES)
    return notes
