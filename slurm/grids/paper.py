"""The published numbers of paper_tables.yaml, to compare ours with."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pipeline.config import read_yaml


@dataclass(frozen=True)
class Published:
    """One entry of a table, in percent; ``std`` is None where the paper prints none."""

    mean: float
    std: float | None
    bold: bool


Key = tuple[str, str, str, str]  # metric (ece, error), method, dataset, labels


@cache
def table(number: int) -> dict[Key, Published]:
    """Every entry of Table ``number``. ValueError where the paper has no such table."""
    content = read_yaml(Path(__file__).parent / "paper_tables.yaml", "paper_table")
    rows = [dict(zip(content["columns"], row, strict=True)) for row in content["rows"]]
    found = {
        (r["metric"], r["method"], r["dataset"], str(r["labels"])): Published(r["mean"], r["std"], r["bold"])
        for r in rows
        if r["table"] == number
    }
    if not found:
        known = ", ".join(str(n) for n in sorted({row["table"] for row in rows}))
        raise ValueError(f"paper_table: {number}: the paper has tables {known}")
    return found
