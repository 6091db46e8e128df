"""Groups that another generator made: PAIR/GROUP/PLACE.png, PAIR two class names as CLASSA_CLASSB, PLACE 0, 1, ...

Place 0 shows the second class, the last place the first: the share of the first grows evenly from 0 to 1. All groups
have the same places and all images one size.
"""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

import numpy as np
from PIL import Image

from dataprep.data_folder.manifest import Manifest
from dataprep.generated.pairs import even_ratios
from dataprep.generated.source import Source
from dataprep.images.decoding import Recipe, decode, open_image
from dataprep.images.failures import rejection_reason
from dataprep.sources.entries import Entry

PIECE = 32  # groups that a worker reads at a time


@dataclass(frozen=True)
class Group:
    """A folder of images between the classes a < b; backwards: it is named b_a, so place 0 shows a."""

    folder: str
    first: int
    second: int
    backwards: bool


@dataclass(frozen=True)
class TreePiece:
    """Some groups of `places` images, which have to be `size` (width, height) and are stored as `recipe` says."""

    groups: list[Group]
    places: int
    size: tuple[int, int]
    recipe: Recipe

    def images(self) -> Iterator[Image.Image]:
        """Raises ValueError for a file that is no image, or an image of another size."""
        for group in self.groups:
            order = range(self.places)
            for place in reversed(order) if group.backwards else order:
                yield self._image(Path(group.folder) / f"{place}.png")

    def _image(self, file: Path) -> Image.Image:
        try:
            content = file.read_bytes()
            with open_image(content) as opened:
                size = opened.size
            if size == self.size:
                return decode(content, self.recipe)
        except Exception as error:  # PIL's plugins raise nearly anything
            reason = rejection_reason(error, Entry(str(file), 0, 1, 0))
            raise ValueError(f"{file} cannot be read ({reason}); mend it or make the group again") from error
        (width, height), (wanted_width, wanted_height) = size, self.size
        raise ValueError(
            f"{file} is {width}x{height}, not {wanted_width}x{wanted_height} as the first image; all images must have "
            "one size"
        )


def tree_source(folder: Path, of: Manifest) -> Source:
    """The groups of a folder, between classes of the data set with the manifest `of`, the first of every pair first.

    Raises ValueError for an unknown class, a missing place, or what else does not belong there.
    """
    by_pair = [list(_groups(pair, of["classes"])) for pair in _folders(folder)]
    groups = [group for row in zip_longest(*by_pair) for group in row if group is not None]
    if not groups:
        raise ValueError(f"{folder} holds no groups; it must hold CLASSA_CLASSB/GROUP/0.png, 1.png, ...")
    places, identity = _check(groups)
    size = _size(Path(groups[0].folder) / "0.png")
    recipe = Recipe(of["stored_size"], "raw", 0, "squash")
    return Source(
        dataset=of["name"],
        classes=of["classes"],
        first=np.array([group.first for group in groups], np.int64),
        second=np.array([group.second for group in groups], np.int64),
        ratios=np.array(even_ratios(places)),
        side=of["stored_size"],
        pieces=[TreePiece(groups[i : i + PIECE], places, size, recipe) for i in range(0, len(groups), PIECE)],
        record={"kind": "folder", "name": folder.name, "identity": identity, "size": list(size)},
        settings=None,
        positions=None,
    )


def _groups(pair: Path, classes: list[str]) -> Iterator[Group]:
    a, b = _classes_of(pair, classes)
    for folder in _folders(pair):
        yield Group(str(folder), min(a, b), max(a, b), backwards=a > b)


def _folders(folder: Path) -> list[Path]:
    """Its folders by name, numbers in their order; hidden ones are left out. Raises ValueError for a file."""
    found = [path for path in folder.iterdir() if not path.name.startswith(".")]
    if files := sorted(path for path in found if not path.is_dir()):
        raise ValueError(f"{files[0]} is not a folder; images stand in CLASSA_CLASSB/GROUP/0.png, 1.png, ...")
    return sorted(found, key=lambda path: (len(path.name) if path.name.isdecimal() else 0, path.name))


def _classes_of(pair: Path, classes: list[str]) -> tuple[int, int]:
    """The two classes of a folder CLASSA_CLASSB, whose names may contain underscores themselves."""
    words, numbers = pair.name.split("_"), {name: number for number, name in enumerate(classes)}
    cuts = [("_".join(words[:i]), "_".join(words[i:])) for i in range(1, len(words))]
    found = [(numbers[a], numbers[b]) for a, b in cuts if a in numbers and b in numbers and a != b]
    if len(found) == 1:
        return found[0]
    if found:
        raise ValueError(f"{pair}: its name can be read as two pairs of classes; rename a class in the data set")
    known = ", ".join(classes[:10]) + (", ..." if len(classes) > 10 else "")
    raise ValueError(f"{pair} does not name two classes as CLASSA_CLASSB; the data set has {known}")


def _check(groups: list[Group]) -> tuple[int, str]:
    """The number of places of every group, and a sha256 of names and lengths. Raises ValueError where groups differ."""
    places, identity = 0, hashlib.sha256()
    for group in groups:
        with os.scandir(group.folder) as entries:
            found = {entry.name: entry.stat().st_size for entry in entries if not entry.name.startswith(".")}
        places = places or max(len(found), 2)  # of the first group
        wanted = {f"{place}.png" for place in range(places)}
        for name in sorted(wanted - found.keys()):
            raise ValueError(f"{group.folder} lacks {name}; every group must have 0.png to {places - 1}.png")
        for name in sorted(found.keys() - wanted):
            raise ValueError(f"{group.folder}/{name} does not belong there; every group has 0.png to {places - 1}.png")
        where = "/".join(Path(group.folder).parts[-2:])
        identity.update(f"{where}\t{sorted(found.items())}\n".encode("utf-8", "surrogateescape"))
    return places, identity.hexdigest()


def _size(file: Path) -> tuple[int, int]:
    """Width and height of an image; (0, 0) of none, of which encoding says more."""
    try:
        with Image.open(file) as image:
            return image.size
    except Exception:
        return 0, 0
