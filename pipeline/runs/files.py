"""Files of a run: written so that a crash or a full disk never leaves half of one, and read where one may be cut."""

import errno
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any


def warn(text: str) -> None:
    """Prints a warning to stderr, where it is not overlooked."""
    print(f"warning: {text}", file=sys.stderr, flush=True)


def write_atomically(path: Path, content: str | bytes) -> None:
    """Readers see the old file or the new one, also after a crash."""
    with replacing(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """A file to write to, which takes the place of ``path`` once it is on disk; after an error the old one stays."""
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def append_whole(path: Path, content: bytes) -> None:
    """All of ``content`` or, with an OSError, nothing."""
    with path.open("ab", buffering=0) as file:
        end = file.tell()
        try:
            if file.write(content) != len(content):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError:
            file.truncate(end)
            raise


def tail(path: Path, size: int | None = None) -> str:
    """The last ``size`` bytes of a text, which may begin within a line, or all of it; "" where there is no file."""
    try:
        with path.open("rb") as file:
            if size is not None:
                file.seek(max(0, path.stat().st_size - size))
            return file.read().decode(errors="replace")
    except OSError:
        return ""


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file; {} where there is none."""
    try:
        value = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def json_lines(text: str) -> list[dict[str, Any]]:
    """The objects of a JSON-lines text; one that is cut short, at the front or at the end, is left out."""
    found = []
    for line in text.splitlines():
        try:
            value = json.loads(line)
        except ValueError:
            continue
        if isinstance(value, dict):
            found.append(value)
    return found
