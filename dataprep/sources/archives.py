"""Opens an archive, whatever kind its content says it is."""

import shutil
import tarfile
import zipfile
from collections.abc import Collection, Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from dataprep.sources.entries import Entry, Reader
from dataprep.sources.readers import TarReader, ZipReader
from dataprep.sources.tars import DAMAGED, list_tar, uncompressed_tar
from dataprep.sources.zips import is_zip, list_zip
from dataprep.sources.zstd import is_zstd


def open_archive(file: Path, work: Path) -> tuple[list[Entry], Reader]:
    """The files of a zip or tar, and their reader; a compressed tar is decompressed into the folder `work`.

    Raises ValueError when the archive is damaged or of another kind.
    """
    if is_zip(file):
        return list(list_zip(file)), ZipReader(str(file))
    tar = uncompressed_tar(file, work)
    _check_header(file, tar)
    return list(list_tar(tar)), TarReader(str(tar))


def _check_header(file: Path, tar: Path) -> None:
    """Raises ValueError where `tar`, the content of `file`, does not begin as a tar: it is no damaged one either."""
    with tar.open("rb") as handle:
        header = handle.read(tarfile.BLOCKSIZE)
    try:
        tarfile.TarInfo.frombuf(header, "utf-8", "surrogateescape")
    except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
        return  # an empty one
    except tarfile.HeaderError as error:
        raise ValueError(
            f"{file}: neither a zip nor a tar, plain or compressed by gzip, xz, bzip2 or zstandard; unpack it "
            "and name the folder"
        ) from error


def extract_named(archive: Path, names: Collection[str], folder: Path) -> None:
    """Copy the files with these names into `folder`, whatever folders of a zip or tar they are in.

    Raises ValueError when the archive is damaged or of another kind.
    """
    try:
        for name, data in _zip_members(archive, names) if is_zip(archive) else _tar_members(archive, names, folder):
            with (folder / name).open("wb") as out:
                shutil.copyfileobj(data, out, 1 << 20)
    except (*DAMAGED, zipfile.BadZipFile, RuntimeError) as error:  # RuntimeError: zipfile, of an encrypted member
        raise ValueError(f"{archive}: not a complete archive ({error}); download it again") from error


def _zip_members(file: Path, names: Collection[str]) -> Iterator[tuple[str, IO[bytes]]]:
    with zipfile.ZipFile(file) as archive:
        for member in archive.infolist():
            name = PurePosixPath(member.filename).name
            if name in names and not member.is_dir():
                with archive.open(member) as data:
                    yield name, data


def _tar_members(file: Path, names: Collection[str], work: Path) -> Iterator[tuple[str, IO[bytes]]]:
    plain = uncompressed_tar(file, work) if is_zstd(file) else file  # tarfile itself knows the other compressions
    with tarfile.open(plain, "r|*") as tar:
        for member in tar:
            name = PurePosixPath(member.name).name
            data = tar.extractfile(member) if name in names and member.isreg() else None
            if data is not None:
                yield name, data
    if plain != file:
        plain.unlink()
