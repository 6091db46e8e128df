"""Lists the members of a zip as entries that can be read in place."""

import stat
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

from dataprep.sources.entries import Entry
from dataprep.sources.tar_members import TarMembers

MAGIC = (b"PK\x03\x04", b"PK\x05\x06")  # of the first member, or of the end of an empty zip
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED, _UTF8 = 0x1, 0x800  # flags of a member


def is_zip(file: Path) -> bool:
    """Whether the file begins as a zip does. A tar may end like one: its last member can be a zip."""
    with file.open("rb") as handle:
        return handle.read(4) in MAGIC


def list_zip(file: Path) -> Iterator[Entry]:
    """Yield every file of a zip, label -1, links to others included; of members with equal names only the last.

    offset: of the member's local header. Raises ValueError when the zip is truncated, or a member cannot be read.
    """
    members = TarMembers(stamp=file.stat().st_mtime_ns)  # links mean the same in both kinds of archive
    try:
        with zipfile.ZipFile(file) as archive:
            for member in archive.infolist():
                if not member.is_dir():
                    members.add(_as_tar_member(file, archive, member))
    except zipfile.BadZipFile as error:
        raise ValueError(f"{file}: not a complete zip file ({error}); download it again") from error
    return iter(members.entries())


def _as_tar_member(file: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> tarfile.TarInfo:
    path = _path(member)
    _check(file, path, member)
    found = tarfile.TarInfo(path)
    found.size, found.offset, found.offset_data = member.file_size, member.header_offset, member.header_offset
    if stat.S_ISLNK(member.external_attr >> 16):
        found.type, found.linkname = tarfile.SYMTYPE, archive.read(member).decode("utf-8", "surrogateescape")
    return found


def _path(member: zipfile.ZipInfo) -> str:
    """A member's name with '/', as the file system would give it."""
    name = member.orig_filename.partition("\0")[0]
    if not member.flag_bits & _UTF8:  # zipfile then assumes code page 437; Info-ZIP writes the file system's bytes
        name = name.encode("cp437").decode("utf-8", "surrogateescape")
    return (name.replace("\\", "/") if member.create_system == 0 else name).removeprefix("./")


def _check(file: Path, path: str, member: zipfile.ZipInfo) -> None:
    if member.flag_bits & _ENCRYPTED:
        raise ValueError(f"{file}: its member {path} is encrypted; unpack it and name the folder")
    if member.compress_type not in METHODS:
        name = zipfile.compressor_names.get(member.compress_type, str(member.compress_type))  # type: ignore[attr-defined]
        raise ValueError(
            f"{file}: its member {path} is compressed by a method ({name}) that is not read in place; unpack it and "
            "name the folder"
        )
