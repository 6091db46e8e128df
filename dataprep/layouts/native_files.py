"""A set's files as its authors distribute them: found where they lie, unpacked from their archive, or downloaded.

array_files.py reads them and ArraySet tests their checksums, so that a subset in the official format is accepted, with
a note, while a damaged official file is not.
"""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path

from dataprep.layouts.listing import ListingRequest
from dataprep.sources.archives import extract_named


@dataclass(frozen=True)
class NativeFiles:
    """The files of a set. addresses: where they can be fetched by hand. md5: of each file.

    folder, archive: what the files come in; '' if they come singly. download: called with an empty folder and file
    names; leaves at least those files there, unpacked. hint: what else helps when files are missing. also: other
    folders below the source that may hold them. gz_md5: of each file as NAME.gz, where it may lie so instead.
    """

    name: str
    addresses: list[str]
    md5: dict[str, str]
    download: Callable[[Path, list[str]], None]
    folder: str = ""
    archive: str = ""
    hint: str = ""
    also: tuple[str, ...] = ()
    gz_md5: dict[str, str] = field(default_factory=dict)

    def find(self, request: ListingRequest) -> Path:
        """The folder that holds all files: where they lie, or unpacked from their archive, or downloaded.

        Raises ValueError that names the missing files and where to put them.
        """
        source = request.source_path()
        if source.is_file() and source.name in self.md5 | self.gz_md5:
            raise ValueError(
                f"--source {source}: one of the files of {self.name}; name the folder that holds all of them"
            )
        if not self._missing(folder := self._fullest(source)):
            return folder
        archive = source if source.is_file() else source / self.archive
        if archive.is_file():
            return self._unpack(archive, request.work / "files")
        if request.download:
            return self._download(source)
        raise ValueError(f"--source {source}: {self._remedy(source)}")

    def checksum(self, name: str) -> str:
        """md5 of the official file of this name."""
        return self.md5.get(name) or self.gz_md5[name]

    def name_in(self, folder: Path, name: str) -> str | None:
        """The name under which a file lies in `folder`: its own, or that of its .gz; None where neither does."""
        names = (name, f"{name}.gz") if self.gz_md5 else (name,)
        return next((each for each in names if (folder / each).is_file()), None)

    def _missing(self, folder: Path) -> list[str]:
        return [name for name in self.md5 if self.name_in(folder, name) is None]

    def _fullest(self, source: Path) -> Path:
        """Of the folders that may hold the files the first that lacks the fewest."""
        folders = [source / self.folder, source, *(source / each for each in self.also)]
        return min(folders, key=lambda folder: len(self._missing(folder)))

    def _remedy(self, source: Path) -> str:
        folder = self._fullest(source)
        missing = self._missing(folder)
        fetched = {each for name in missing for each in (name, f"{name}.gz")}
        addresses = [each for each in self.addresses if self.archive or each.rpartition("/")[2] in fetched]
        archive = f", or {self.archive}, as it is, into {source}" if self.archive else ""
        packed = " (plain or .gz)" if self.gz_md5 else ""
        them = ("it" if len(missing) == 1 else "them") + packed
        return (
            f"{', '.join(missing)} missing; put {them} into {folder}{archive}; fetch "
            f"{' and '.join(addresses)} where there is a network{self.hint}"
        )

    def _unpack(self, archive: Path, folder: Path) -> Path:
        """Copy the files of the set out of an archive, whatever folders they are in."""
        folder.mkdir(exist_ok=True)
        extract_named(archive, self.md5.keys() | self.gz_md5.keys(), folder)
        if missing := self._missing(folder):
            raise ValueError(f"{archive}: lacks {', '.join(missing)}; it is not {self.name} as distributed")
        return folder

    def _download(self, source: Path) -> Path:
        """Download into a temporary folder beside the final one, so that a failed download leaves nothing behind."""
        folder, remedy = self._fullest(source), self._remedy(source)
        missing = self._missing(folder)
        source.mkdir(parents=True, exist_ok=True)
        try:
            with tempfile.TemporaryDirectory(dir=source, prefix=".download-") as temporary:
                self.download(Path(temporary), missing)
                for item in sorted(Path(temporary).rglob("*")):
                    if item.name.removesuffix(".gz") in missing or item.name in missing:
                        folder.mkdir(exist_ok=True)
                        item.replace(folder / item.name)
        except (OSError, HTTPException, RuntimeError) as error:  # RuntimeError: torchvision, of a wrong checksum
            reason = " ".join(str(error).split())
            raise ValueError(f"{self.name} cannot be downloaded ({reason}): {remedy}") from error
        return folder
