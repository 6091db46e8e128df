"""Class folders without an image: they would vanish without a word, and with them a class."""

import os
from pathlib import Path

from dataprep.layouts.names import is_hidden, top_folder
from dataprep.layouts.tree_parts import Parts
from dataprep.sources.entries import Reader
from dataprep.sources.readers import FileReader


def empty_classes(reader: Reader, parts: Parts, classes: list[str]) -> list[str]:
    """A note that names the folders beside the class folders of the training images that hold no image.

    Archives are not looked into again: of their folders only the files are known.
    """
    if not isinstance(reader, FileReader):
        return []
    homes = {top_folder(entry.path) for entry in parts.train + parts.extra} if parts.depth else {""}
    empty = sorted({f"{home}/{name}".lstrip("/") for home in homes for name in _folders(Path(reader.root) / home)})
    without = [path for path in empty if path.rpartition("/")[2] not in classes and not is_hidden(path)]
    if not without:
        return []
    are = "holds no image and is no class" if len(without) == 1 else "hold no image and are no classes"
    return [f"{', '.join(f'{path}/' for path in without[:5])}{' and others' if len(without) > 5 else ''} {are}"]


def _folders(home: Path) -> list[str]:
    with os.scandir(home) as items:
        return [item.name for item in items if item.is_dir()]
