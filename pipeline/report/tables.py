"""One table in every form it is read in: plain Markdown, LaTeX for a paper, HTML for the report."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

_LATEX = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
_LATEX |= {"−": "$-$", "°": r"$^\circ$"}
_LATEX |= {character: "\\" + character for character in "&%$#_{}"}


@dataclass(frozen=True)
class Table:
    """Cells as text: the first column holds names, the others numbers. All rows are as long as `header`."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def markdown(self) -> str:
        """GitHub-flavoured; names to the left, numbers to the right, padded to read as plain text too."""
        cells = [[cell.replace("|", "\\|") for cell in row] for row in (self.header, *self.rows)]
        widths = [max(len(row[column]) for row in cells) for column in range(len(self.header))]
        lines = [
            "| " + " | ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) + " |" for row in cells
        ]
        rule = "|:" + "-" * (widths[0] + 1) + "|" + "|".join("-" * (width + 1) + ":" for width in widths[1:]) + "|"
        return "\n".join([lines[0], rule if len(widths) > 1 else rule.rstrip("|") + "|", *lines[1:]])

    def latex(self) -> str:
        """A tabular with rules of the booktabs package."""
        lines = [" & ".join(map(latex_text, row)) + r" \\" for row in (self.header, *self.rows)]
        columns = "l" + "r" * (len(self.header) - 1)
        body = "\n".join(lines[1:])
        return (
            f"\\begin{{tabular}}{{{columns}}}\n\\toprule\n{lines[0]}\n\\midrule\n{body}\n\\bottomrule\n\\end{{tabular}}"
        )

    def html(self) -> str:
        """A table in a box that scrolls sideways where the screen is narrow."""
        head = "".join(f"<th>{escape(cell)}</th>" for cell in self.header)
        rows = "".join(f"<tr>{_cells(row)}</tr>" for row in self.rows)
        return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """A `Table` of any sequences."""
    assert all(len(row) == len(header) for row in rows)
    return Table(tuple(header), tuple(tuple(row) for row in rows))


def latex_text(text: str) -> str:
    """`text` with the characters escaped that LaTeX reads as commands."""
    return "".join(_LATEX.get(character, character) for character in text)


def _cells(row: tuple[str, ...]) -> str:
    return f"<th>{escape(row[0])}</th>" + "".join(f"<td>{escape(cell)}</td>" for cell in row[1:])
