"""A set's files as its authors distribute them: found where they lie, unpacked from their archive, or downloaded.

array_files.py reads them and ArraySet tests their checksums, so that a subset in the official format is accepted, with
a note, while a damaged official file is not.
"""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path

from dataprep.layouts.listing import ListingRequest
from dataprep.sources.archives import extract_named


@dataclass(frozen=True)
class NativeFiles:
    """The files of a set. addresses: where they can be fetched by hand. md5: of each file.

    folder, archive: what the files come in; '' if they come singly. download: called with an empty folder and file
    names; leaves at least those files there, unpacked. hint: what else helps when files are missing.
    """

    name: str
    addresses: list[str]
    md5: dict[str, str]
    download: Callable[[Path, list[str]], None]
    folder: str = ""
    archive: str = ""
    hint: str = ""

    def find(self, request: ListingRequest) -> Path:
        """The folder that holds all files: where they lie, or unpacked from their archive, or downloaded.

        Raises ValueError that names the missing files and where to put them.
        """
        source = request.source_path()
        for folder in (source / self.folder, source):
            if all((folder / name).is_file() for name in self.md5):
                return folder
        archive = source if source.is_file() else source / self.archive
        if archive.is_file():
            return self._unpack(archive, request.work / "files")
        if request.download:
            return self._download(source)
        raise ValueError(f"--source {source}: {self._remedy(source)}")

    def _missing(self, source: Path) -> list[str]:
        folder = source / self.folder if (source / self.folder).is_dir() else source
        return [name for name in self.md5 if not (folder / name).is_file()]

    def _remedy(self, source: Path) -> str:
        missing = self._missing(source)
        addresses = [each for each in self.addresses if self.archive or each.rpartition("/")[2] in missing]
        archive = f", or {self.archive}, as it is, into {source}" if self.archive else ""
        return (
            f"{', '.join(missing)} missing; put them into {source / self.folder}{archive}; fetch "
            f"{' and '.join(addresses)} where there is a network{self.hint}"
        )

    def _unpack(self, archive: Path, folder: Path) -> Path:
        """Copy the files of the set out of an archive, whatever folders they are in."""
        folder.mkdir(exist_ok=True)
        extract_named(archive, self.md5.keys(), folder)
        missing = [name for name in self.md5 if not (folder / name).is_file()]
        if missing:
            raise ValueError(f"{archive}: lacks {', '.join(missing)}; it is not {self.name} as distributed")
        return folder

    def _download(self, source: Path) -> Path:
        """Download into a temporary folder beside the final one, so that a failed download leaves nothing behind."""
        missing, remedy = self._missing(source), self._remedy(source)
        source.mkdir(parents=True, exist_ok=True)
        try:
            with tempfile.TemporaryDirectory(dir=source, prefix=".download-") as temporary:
                self.download(Path(temporary), missing)
                for item in sorted(Path(temporary).rglob("*")):
                    if item.name in missing:
                        (source / self.folder).mkdir(exist_ok=True)
                        item.replace(source / self.folder / item.name)
        except (OSError, HTTPException, RuntimeError) as error:  # RuntimeError: torchvision, of a wrong checksum
            reason = " ".join(str(error).split())
            raise ValueError(f"{self.name} cannot be downloaded ({reason}): {remedy}") from error
        return source / self.folder
