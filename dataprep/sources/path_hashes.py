"""Everything decided by the hash of an image's path: storage order, ranks for a test split, the checksum of a list."""

import hashlib
from collections.abc import Iterable

from dataprep.sources.entries import Entry


def keyed_hash(path: str, key: bytes) -> bytes:
    """16 bytes that depend on `path` and `key` alone: equal on every machine and file system."""
    return hashlib.blake2b(path.encode("utf-8", "surrogateescape"), key=key, digest_size=16).digest()


def beton_order(entries: Iterable[Entry]) -> list[Entry]:
    """Entries in storage order: shuffled, so that any contiguous stretch of a beton is a random subset."""
    return sorted(entries, key=lambda entry: keyed_hash(entry.path, b"calibratemix order"))


def held_out_order(entries: Iterable[Entry]) -> list[Entry]:
    """Entries in the order in which they are considered for a held-out test split."""
    return sorted(entries, key=lambda entry: keyed_hash(entry.path, b"calibratemix test"))


def files_sha256(entries: list[Entry]) -> str:
    """sha256 over the lines 'path<tab>label<tab>bytes' in the given order: identifies the files and their order."""
    digest = hashlib.sha256()
    for entry in entries:
        line = f"{entry.path}\t{entry.label}\t{entry.size}\n"
        digest.update(line.encode("utf-8", "surrogateescape"))
    return digest.hexdigest()
