"""What the top folders of a tree are: the parts of a set, by their usual names in any case, or its classes.

Where both readings are possible the tree is refused with the reading that it would get: a class called 'test' and a
test set look alike, and no later step could notice.
"""

from collections import defaultdict
from dataclasses import dataclass, field

from dataprep.console import plural
from dataprep.layouts.names import TRAIN, part_of_set, top_folder
from dataprep.sources.entries import Entry

KNOWN = "train/CLASS/... and test/CLASS/... (or val/CLASS/...), or only class folders"


@dataclass
class Parts:
    """Images by what they are used for; depth: which component of a path is its class folder.

    strays: images outside any class folder. unused: images in folders of other names, by folder.
    """

    depth: int
    train: list[Entry] = field(default_factory=list)
    extra: list[Entry] = field(default_factory=list)
    validation: list[Entry] = field(default_factory=list)
    test: list[Entry] = field(default_factory=list)
    unlabelled: list[Entry] = field(default_factory=list)
    strays: list[Entry] = field(default_factory=list)
    unused: dict[str, list[Entry]] = field(default_factory=lambda: defaultdict(list))
    notes: list[str] = field(default_factory=list)


def read_parts(images: list[Entry]) -> Parts:
    """Sort the images of a tree. Raises ValueError, to be completed by the source's name, where a tree is ambiguous."""
    folders = _part_folders(images)
    if "train" in folders and _is_class(folders["train"], images):
        folders = {}
    if "train" not in folders:
        _refuse_parts_among_classes(folders, images)
        parts = Parts(depth=0)
        for entry in images:
            (parts.train if "/" in entry.path else parts.strays).append(entry)
        return parts
    _refuse_two_names(folders)
    parts = _by_part(images, folders)
    _refuse_part_as_class(parts)
    _refuse_overlooked(parts)
    return parts


def check_wrapper(name: str, images: list[Entry]) -> None:
    """Refuse to strip a folder that wraps the whole tree if its name says that it is not for training."""
    part = part_of_set(name)
    inner = {top_folder(entry.path.partition("/")[2]) for entry in images}
    if part in ("test", "validation", "unlabelled") and "train" not in map(part_of_set, inner):
        raise ValueError(
            f"it holds {name}/ alone, whose images would be trained on ({_listed(inner)} as classes); name a source "
            f"that holds train/ too, or {name}/ itself"
        )


def _part_folders(images: list[Entry]) -> dict[str, list[str]]:
    """{part: names of the top folders that stand for it}."""
    found: dict[str, list[str]] = defaultdict(list)
    for name in sorted({top_folder(entry.path) for entry in images if "/" in entry.path}):
        if part := part_of_set(name):
            found[part].append(name)
    return dict(found)


def _is_class(names: list[str], images: list[Entry]) -> bool:
    """Whether train/ is a class of vehicles: its images lie in it directly, and class folders lie beside it."""
    tops = {top_folder(entry.path) for entry in images if "/" in entry.path}
    others = [name for name in tops if not part_of_set(name)]
    flat = all(entry.path.count("/") == 1 for entry in images if top_folder(entry.path) in names)
    return flat and bool(others) and tops == {*others, *names}


def _refuse_parts_among_classes(folders: dict[str, list[str]], images: list[Entry]) -> None:
    if not folders:
        return
    named = [name for names in folders.values() for name in names]
    classes = {top_folder(entry.path) for entry in images if "/" in entry.path}
    raise ValueError(
        f"{_listed(named)} could be a part of the set or a class, and there is no train/: it would be read as "
        f"{plural(len(classes), 'class').removesuffix('s') + ('es' if len(classes) > 1 else '')} ({_listed(classes)}); "
        f"move the class folders for training into train/, or rename {named[0]}/"
    )


def _refuse_two_names(folders: dict[str, list[str]]) -> None:
    for part, names in folders.items():
        if len(names) > 1 and part != "unlabelled":
            raise ValueError(f"{_listed(names)} are all names of the {part} images; keep one of them")


def _by_part(images: list[Entry], folders: dict[str, list[str]]) -> Parts:
    parts = Parts(depth=1)
    homes: dict[str, list[Entry]] = {
        "train": parts.train,
        "extra": parts.extra,
        "validation": parts.validation if "test" in folders else parts.test,
        "test": parts.test,
    }
    part_by_name = {name: part for part, names in folders.items() for name in names}
    for entry in images:
        top = top_folder(entry.path)
        part = part_by_name.get(top)
        if part == "unlabelled":
            parts.unlabelled.append(entry)
        elif part is None:
            parts.unused[top if "/" in entry.path else ""].append(entry)
        elif entry.path.count("/") < 2:
            parts.strays.append(entry)
        else:
            homes[part].append(entry)
    used = [(part, "/ and ".join(names)) for part, names in folders.items()]
    roles = {"validation": "validation" if "test" in folders else "the test", "test": "the test", "train": "training"}
    words = [f"{names}/ as {roles.get(part, part)} images" for part, names in used]
    parts.notes.append(f"read {', '.join(words)}")
    return parts


def _refuse_part_as_class(parts: Parts) -> None:
    """train/test/CLASS/...: a folder too many, or a class with folders of its own."""
    for entry in parts.train:
        name = entry.path.split("/")[1]
        if entry.path.count("/") > 2 and part_of_set(name):
            raise ValueError(
                f"{top_folder(entry.path)}/{name}/ holds folders, so it could be a part of the set, but would be read "
                f"as the class {name!r}; move it up beside {TRAIN}/, or rename it"
            )


def _refuse_overlooked(parts: Parts) -> None:
    """A folder of an unknown name that holds the classes of train/ is a part too: of which kind, the user must say."""
    classes = {entry.path.split("/")[1] for entry in parts.train}
    for name, entries in parts.unused.items():
        inner = {entry.path.split("/")[1] for entry in entries if entry.path.count("/") >= 2}
        if inner & classes:
            raise ValueError(
                f"{name}/ holds {plural(len(entries), 'image')} in folders named as the classes, but its name is none "
                f"of a part, so it would be left out; rename it to test/, val/, extra/ or unlabelled/, or remove it"
            )


def _listed(names: set[str] | list[str], most: int = 5) -> str:
    ordered = sorted(names)
    more = f" and {len(ordered) - most} more" if len(ordered) > most else ""
    return ", ".join(f"{name}" for name in ordered[:most]) + more
