"""Words for the user, one line at a time while the command works."""

from collections.abc import Sequence
from difflib import get_close_matches


def note(text: str) -> None:
    """Print one line the user should know about; not an error."""
    safe = text.encode("utf-8", "backslashreplace").decode()  # file names need not be valid UTF-8
    print(f"note: {safe}", flush=True)


def plural(count: int, noun: str) -> str:
    """'1 file', '1,234 files'."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def suggestion(unknown: str, names: Sequence[str], shown: int = 10) -> str:
    """The end of an error about a name that does not exist: the nearest one, or the first ``shown`` that there are."""
    if close := get_close_matches(unknown, names, 1):
        return f"did you mean {close[0]!r}?"
    more = f" and {len(names) - shown:,} more" if len(names) > shown else ""
    return f"there are {', '.join(names[:shown])}{more}"
