"""The images that a command line names: files, folders and archives, as one list with one reader."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from dataprep.layouts.folder import images_only, open_source
from dataprep.layouts.names import IMAGE_SUFFIXES
from dataprep.sources.directories import size_and_stamp
from dataprep.sources.entries import Entry, Reader
from dataprep.sources.readers import FileReader, ReaderSet

ARCHIVES = (".tar", ".zip", ".tgz", ".txz", ".tbz2", ".tar.gz", ".tar.xz", ".tar.bz2", ".tar.zst")


@dataclass(frozen=True)
class Listed:
    """Images in the order in which they are predicted: as given, the content of a folder or archive by name.

    `entries`: each with the number of its reader in `reader`; `prefixes`: by that number, what precedes an entry's path
    in its name. `notes`: what was left out.
    """

    entries: Sequence[Entry]
    reader: Reader
    prefixes: Sequence[str]
    notes: Sequence[str]

    def names(self, start: int = 0) -> Iterator[str]:
        """Names as the user would write them, from position `start` on: of a tar's member TAR/MEMBER."""
        return (self.prefixes[entry.reader] + entry.path for entry in self.entries[start:])

    def digest(self) -> str:
        """Changes when an image is added, is gone, or is written to."""
        found = hashlib.sha256()
        for name, entry in zip(self.names(), self.entries, strict=True):
            found.update(f"{name}\t{entry.size}\t{entry.stamp}\n".encode("utf-8", "surrogateescape"))
        return found.hexdigest()


def list_images(given: Sequence[Path], work: Path) -> Listed:
    """Every image of what is given; compressed tars are decompressed into the folder `work`.

    A file that is named itself is taken for an image whatever its name; of folders and archives, the files named like
    images. ValueError naming what is not there, or holds no image.
    """
    entries: list[Entry] = []
    readers: list[Reader] = [FileReader("")]
    prefixes, notes = [""], list[str]()
    for path in given:
        if path.is_file() and not path.name.lower().endswith(ARCHIVES):
            size, stamp = size_and_stamp(str(path))
            entries.append(Entry(str(path), -1, size, 0, 0, stamp))
            continue
        found, reader, left_out = _content(path, work / str(len(readers)))
        entries += (entry._replace(reader=len(readers)) for entry in found)
        readers.append(reader)
        prefixes.append(f"{path.as_posix()}/")
        notes += (f"{path}: {line}" for line in left_out)
    return Listed(entries, ReaderSet(tuple(readers)), prefixes, notes)


def _content(path: Path, work: Path) -> tuple[list[Entry], Reader, list[str]]:
    """The images of a folder or archive, by name; its reader; what was left out."""
    if not path.exists():
        raise ValueError(f"{path}: no such file or folder; name images, folders or tars of images")
    if not path.is_dir():
        work.mkdir(parents=True)
    files, reader = open_source(path, work)
    images, notes = images_only(files)
    if not images:
        raise ValueError(f"{path}: holds no image (no file named {', '.join(f'*{end}' for end in IMAGE_SUFFIXES)})")
    return sorted(images, key=lambda entry: entry.path), reader, notes
