"""The published numbers in papers/, to compare ours with."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pipeline.config import read_yaml

FOLDER = Path(__file__).parent / "papers"


@dataclass(frozen=True)
class Published:
    """One entry of a table, in percent; ``std`` is None where the paper prints none."""

    mean: float
    std: float | None
    bold: bool


Key = tuple[str, str, str, str]  # metric (ece, error), method, dataset, labels


@cache
def table(name: str) -> dict[Key, Published]:
    """Every entry of a table, such as "mixup/2". ValueError where there is no such paper, or no such table in it."""
    paper, _, number = name.partition("/")
    papers = sorted(path.stem for path in FOLDER.glob("*.yaml"))
    if paper not in papers:
        raise ValueError(f"paper: {name}: write PAPER/TABLE with one of {', '.join(papers)}")
    content = read_yaml(FOLDER / f"{paper}.yaml", "paper")
    rows = [dict(zip(content["columns"], row, strict=True)) for row in content["rows"]]
    found = {
        (r["metric"], r["method"], r["dataset"], str(r["labels"])): Published(r["mean"], r["std"], r["bold"])
        for r in rows
        if str(r["table"]) == number
    }
    if not found:
        known = ", ".join(str(n) for n in sorted({row["table"] for row in rows}))
        raise ValueError(f"paper: {name}: {paper} has tables {known}")
    return found
