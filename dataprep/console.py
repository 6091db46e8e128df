"""One line at a time to the user while the command works."""


def note(text: str) -> None:
    """Print one line the user should know about; not an error."""
    safe = text.encode("utf-8", "backslashreplace").decode()  # file names need not be valid UTF-8
    print(f"note: {safe}", flush=True)


def plural(count: int, noun: str) -> str:
    """'1 file', '1,234 files'."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
