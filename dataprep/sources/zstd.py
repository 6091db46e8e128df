"""Decompresses zstandard files, of one frame or many."""

from collections.abc import Iterator
from pathlib import Path

MAGIC = (b"\x28\xb5\x2f\xfd", b"\x50\x2a\x4d\x18")  # of a frame, and of the skippable one with which pzstd begins
_BLOCK = 1 << 20  # compressed bytes read at a time
_MAX_WINDOW = 1 << 31  # bytes of memory that `zstd --ultra --long=31` asks for


def is_zstd(file: Path) -> bool:
    """Whether the file begins as zstandard does."""
    with file.open("rb") as handle:
        return handle.read(4) in MAGIC


def decompressed(file: Path) -> Iterator[bytes]:
    """Yield the file's decompressed data in pieces.

    Raises EOFError when the data is damaged or ends too early, ValueError when the package zstandard is missing.
    """
    try:
        import zstandard
    except ImportError as error:
        raise ValueError(f"{file}: reading it needs the package zstandard; pip install zstandard") from error
    context = zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW)
    frame, between_frames = context.decompressobj(), True
    try:
        with file.open("rb") as packed:
            while block := packed.read(_BLOCK):
                while block:
                    yield frame.decompress(block)
                    block, between_frames = frame.unused_data, frame.eof
                    if between_frames:
                        frame = context.decompressobj()
    except zstandard.ZstdError as error:
        raise EOFError(str(error)) from error
    if not between_frames:
        raise EOFError("it ends too early")
