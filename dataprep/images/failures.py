"""Why an image could not be read: the fault of the image, or of the system."""

import errno

from PIL import UnidentifiedImageError

from dataprep.sources.entries import Entry

_SYSTEM_ERRORS = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOTCONN, errno.ESTALE, errno.ETIMEDOUT)


def rejection_reason(error: Exception, entry: Entry) -> str:
    """Why an image was rejected, on one line, the same in every run."""
    if isinstance(error, UnidentifiedImageError):  # its message contains a memory address
        return "not an image" if entry.size else "empty file"
    if isinstance(error, OSError) and error.errno is not None:  # its message contains the folder, which may move
        return f"{type(error).__name__}: {error.strerror}"
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def is_system_error(error: Exception) -> bool:
    """Whether reading failed for a cause that would also affect the next images."""
    return isinstance(error, OSError) and error.errno in _SYSTEM_ERRORS
