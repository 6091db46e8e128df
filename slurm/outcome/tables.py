"""A grid's table as Markdown, LaTeX and CSV: percent, mean ± std over seeds, the paper's values below ours."""

import csv
import io
import re
from collections.abc import Sequence

from slurm.grids.grid import METRICS
from slurm.grids.paper import Key
from slurm.outcome.entries import Entry, best_entries

Column = tuple[str, str]


def columns(table: Sequence[Entry]) -> list[Column]:
    """(dataset, labels) in the grid's order."""
    return list(dict.fromkeys((entry.dataset, entry.labels) for entry in table))


def metrics(table: Sequence[Entry]) -> list[str]:
    """In the grid's order."""
    return list(dict.fromkeys(entry.metric for entry in table))


def methods(table: Sequence[Entry]) -> list[str]:
    """In the grid's order."""
    return list(dict.fromkeys(entry.method for entry in table))


def markdown(table: Sequence[Entry], title: str) -> str:
    """A section for each metric; below our value the paper's and the difference. One data set of ours is one table."""
    one = len(columns(table)) == 1 and not any(entry.paper for entry in table)
    body = _across(table) if one else _sections(table)
    return "\n".join([f"# {title}", _progress(table), "", *body, LEGEND, ""])


def _across(table: Sequence[Entry]) -> list[str]:
    """Metrics side by side."""
    chosen, shown, (column,) = best_entries(table), metrics(table), columns(table)
    rows = [_row([" ".join(column), *(METRICS[m] for m in shown)]), _row(["---", *["---:"] * len(shown)])]
    for method in methods(table):
        rows.append(_row([method, *(_ours(_find(table, metric, method, column), chosen) for metric in shown)]))
    return [*rows, ""]


def _sections(table: Sequence[Entry]) -> list[str]:
    """Metrics one below the other, columns of data sets and labels."""
    chosen, parts = best_entries(table), list[str]()
    for metric in metrics(table):
        heads = [f"{dataset} {labels}" for dataset, labels in columns(table)]
        parts += [f"## {METRICS[metric]}", "", _row(["", *heads]), _row(["---", *["---:"] * len(heads)])]
        for method in methods(table):
            found = [_find(table, metric, method, column) for column in columns(table)]
            parts.append(_row([method, *(_ours(entry, chosen) for entry in found)]))
            if any(entry and entry.paper for entry in found):
                parts.append(_row(["&nbsp;&nbsp;paper", *(_papers(entry) for entry in found)]))
        parts.append("")
    return parts


LEGEND = (
    "Mean ± std (ddof 0) over the finished seeds, with their number until all are, as in (2/3). Bold: our "
    "best of the same base method in a column; runs with label smoothing compete among themselves. Below it the "
    "paper's value (std over 3 runs, bold as printed) and our mean minus the paper's; ≈ where that is within noise: "
    "two standard errors of both means, and for the ECE at least the floor that a perfectly calibrated model would "
    "score on this test set."
)


def latex(table: Sequence[Entry], title: str) -> str:
    """The same table with booktabs; the paper's values are small and grey."""
    chosen, heads = best_entries(table), columns(table)
    lines = [f"% {title}. Needs booktabs and xcolor.", f"\\begin{{tabular}}{{l{'r' * len(heads)}}}", "\\toprule"]
    shown = metrics(table)
    for metric in shown:
        names = " & ".join(_tex(f"{dataset} {labels}") for dataset, labels in heads)
        lines += [f"\\textbf{{{_tex(METRICS[metric])}}} & {names} \\\\", "\\midrule"]
        for method in methods(table):
            found = [_find(table, metric, method, column) for column in heads]
            lines.append(f"{_tex(method)} & {' & '.join(_tex_ours(entry, chosen) for entry in found)} \\\\")
            if any(entry and entry.paper for entry in found):
                cells = (f"{{\\color{{gray}}\\scriptsize {_tex_bold(_papers(e))}}}" if e else "" for e in found)
                lines.append(f"\\quad\\scriptsize paper & {' & '.join(cells)} \\\\")
        lines.append("\\bottomrule" if metric == shown[-1] else "\\midrule")
    return "\n".join([*lines, "\\end{tabular}", ""])


def as_csv(table: Sequence[Entry]) -> str:
    """One line for each entry, unrounded; empty where a number is missing."""
    chosen, out = best_entries(table), io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    heads = ["metric", "method", "dataset", "labels", "mean", "std", "seeds", "seeds_wanted", "best", "ece_floor"]
    writer.writerow([*heads, "paper_mean", "paper_std", "paper_bold", "difference", "noise", "within_noise"])
    for e in table:
        ours = [e.mean, e.std if e.values else None, len(e.values), e.wanted, int(e.key in chosen), e.floor]
        theirs = [e.paper.mean, e.paper.std, int(e.paper.bold)] if e.paper else [None, None, None]
        compared = [e.difference, e.noise, int(_is_noise(e))] if e.difference is not None else [None, None, None]
        writer.writerow([e.metric, e.method, e.dataset, e.labels, *ours, *theirs, *compared])
    return out.getvalue()


def _ours(entry: Entry | None, chosen: set[Key]) -> str:
    if entry is None:
        return ""
    if entry.mean is None:
        return "missing"
    partial = f" ({len(entry.values)}/{entry.wanted})" if len(entry.values) < entry.wanted else ""
    text = f"{entry.mean:.2f} ± {entry.std:.2f}"
    return (f"**{text}**" if entry.key in chosen else text) + partial


def _papers(entry: Entry | None) -> str:
    if entry is None or entry.paper is None:
        return ""
    std = "" if entry.paper.std is None else f" ± {entry.paper.std:.2f}"
    text = f"**{entry.paper.mean:.2f}{std}**" if entry.paper.bold else f"{entry.paper.mean:.2f}{std}"
    if entry.difference is None:
        return text
    return f"{text}, {'≈ ' if _is_noise(entry) else ''}{entry.difference:+.2f}"


def _tex_ours(entry: Entry | None, chosen: set[Key]) -> str:
    return _tex_bold(_ours(entry, chosen))


def _tex_bold(text: str) -> str:
    """Markdown's ** as LaTeX."""
    return re.sub(r"\*\*(.*?)\*\*", r"\\textbf{\1}", _tex(text))


def _tex(text: str) -> str:
    for plain, escaped in (("%", r"\%"), ("_", r"\_"), ("&", r"\&"), ("±", r"$\pm$"), ("≈", r"$\approx$")):
        text = text.replace(plain, escaped)
    return text


def _is_noise(entry: Entry) -> bool:
    return entry.difference is not None and abs(entry.difference) <= entry.noise


def _find(table: Sequence[Entry], metric: str, method: str, column: Column) -> Entry | None:
    wanted = (metric, method, *column)
    return next((entry for entry in table if entry.key == wanted), None)


def _progress(table: Sequence[Entry]) -> str:
    wanted, found = (
        sum(n) for n in zip(*((e.wanted, len(e.values)) for e in table if e.metric == table[0].metric), strict=True)
    )
    return f"{found} of {wanted} cells are finished."


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
