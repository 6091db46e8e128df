"""Lists the members of a zip as entries that can be read in place."""

import posixpath
import stat
import zipfile
from collections.abc import Iterator
from pathlib import Path

from dataprep.sources.entries import Entry

MAGIC = (b"PK\x03\x04", b"PK\x05\x06")  # of the first member, or of the end of an empty zip
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED, _UTF8 = 0x1, 0x800  # flags of a member
_MAX_LINKS = 8  # links that lead to links


def is_zip(file: Path) -> bool:
    """Whether the file begins as a zip does. A tar may end like one: its last member can be a zip."""
    with file.open("rb") as handle:
        return handle.read(4) in MAGIC


def list_zip(file: Path) -> Iterator[Entry]:
    """Yield every file of a zip, label -1; of members with equal names only the last. Links to members are followed.

    offset: of the member's local header. Raises ValueError when the zip is truncated, or a member cannot be read.
    """
    found: dict[str, Entry] = {}
    stamp = file.stat().st_mtime_ns
    links: dict[str, str] = {}
    try:
        with zipfile.ZipFile(file) as archive:
            for member in archive.infolist():
                path = _path(member)
                if path.endswith("/"):
                    continue
                _check(file, path, member)
                if stat.S_ISLNK(member.external_attr >> 16):
                    links[path] = archive.read(member).decode("utf-8", "surrogateescape")
                else:
                    found[path] = Entry(
                        path=path, label=-1, size=member.file_size, offset=member.header_offset, stamp=stamp
                    )
    except zipfile.BadZipFile as error:
        raise ValueError(f"{file}: not a complete zip file ({error}); download it again") from error
    targets = {path: _follow(file, path, links, found)._replace(path=path) for path in links}
    return iter({**found, **targets}.values())


def _path(member: zipfile.ZipInfo) -> str:
    """A member's name with '/', as the file system would give it."""
    name = member.filename
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


def _follow(file: Path, path: str, links: dict[str, str], found: dict[str, Entry]) -> Entry:
    """The file that a link leads to. Raises ValueError where it leads out of the zip, or nowhere."""
    target = path
    for _ in range(_MAX_LINKS):
        target = posixpath.normpath(posixpath.join(posixpath.dirname(target), links[target]))
        if target not in links:
            break
    if target not in found:
        raise ValueError(f"{file}: its member {path} links to {links[path]}, which is not in the zip; pack the file")
    return found[target]
