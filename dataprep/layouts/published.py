"""Deviations from the published size of a set are reported: a subset is fine, but nobody should overlook it."""


def compare_count(what: str, found: int, published: int) -> list[str]:
    """A note where `found` differs from the published number; none where it does not."""
    if found == published:
        return []
    word = "fewer" if found < published else "more"
    return [f"{what}: {found:,}, {abs(published - found):,} {word} than the official {published:,}"]
