"""Files that get their name only when all of them is on disk."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


@contextmanager
def replacing(file: Path) -> Iterator[IO[bytes]]:
    """A file to write to, which gets its name when all of it is on disk; after an error nothing of it is left."""
    temporary = file.with_name(f"{file.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb", buffering=1 << 20) as out:
            yield out
            out.flush()
            os.fsync(out.fileno())
        temporary.rename(file)
    finally:
        temporary.unlink(missing_ok=True)
