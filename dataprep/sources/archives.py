"""Opens an archive, whatever kind its content says it is."""

from pathlib import Path

from dataprep.sources.entries import Entry, Reader
from dataprep.sources.readers import TarReader, ZipReader
from dataprep.sources.tars import list_tar, uncompressed_tar
from dataprep.sources.zips import is_zip, list_zip


def open_archive(file: Path, work: Path) -> tuple[list[Entry], Reader]:
    """The files of a zip or tar, and their reader; a compressed tar is decompressed into the folder `work`.

    Raises ValueError when the archive is damaged or of another kind.
    """
    if is_zip(file):
        return list(list_zip(file)), ZipReader(str(file))
    tar = uncompressed_tar(file, work)
    return list(list_tar(tar)), TarReader(str(tar))
