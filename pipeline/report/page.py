"""The report as one self-contained HTML page for screen, phone and paper: figures inline, no script, no network."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from pipeline.report.figures import ReportFigure
from pipeline.report.tables import Table

STYLE = """
:root { color-scheme: light; --ink: #222; --pale: #666; --line: #ddd; --accent: #0072B2; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 62rem; padding: 1.5rem 1.25rem 4rem; color: var(--ink); background: #fff;
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .25rem; }
h2 { font-size: 1.25rem; margin: 2.5rem 0 .5rem; padding-top: .75rem; border-top: 2px solid var(--ink); }
h3 { font-size: 1rem; margin: 1.5rem 0 .4rem; }
p { margin: .4rem 0; max-width: 46rem; }
.pale, figcaption, summary, footer { color: var(--pale); font-size: .875rem; }
.verdict { border-left: 4px solid var(--accent); padding: .2rem 0 .2rem .8rem; margin: .8rem 0; }
.scroll { overflow-x: auto; margin: .5rem 0; background: linear-gradient(to left, #fff 60%, #fff0) 100% 0 / 2.5rem 100%
  no-repeat local, linear-gradient(to left, #0004, #0000) 100% 0 / .9rem 100% no-repeat scroll #fff; }
table { border-collapse: collapse; font-size: .875rem; font-variant-numeric: tabular-nums; overflow-wrap: normal; }
th, td { padding: .25rem .7rem; text-align: right; white-space: nowrap; border-bottom: 1px solid var(--line); }
thead th { border-bottom: 2px solid var(--ink); vertical-align: bottom; white-space: normal; }
th:first-child { text-align: left; padding-left: 0; }
tbody th { font-weight: 600; }
.words th, .words td { text-align: left; white-space: normal; }
.words td { min-width: 14rem; }
.figures { display: grid; gap: 1.5rem 2rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr)); }
figure { margin: 0; max-width: 32rem; break-inside: avoid; }
figure img { width: 100%; height: auto; display: block; }
figure h3 { margin: .25rem 0; font-size: .9rem; }
pre { overflow-x: auto; background: #f6f6f6; padding: .75rem; font-size: .75rem; line-height: 1.4; }
@media (max-width: 30rem) { body { padding: 1rem .9rem 3rem; } h1 { font-size: 1.4rem; }
  th, td { padding: .2rem .4rem; } table { font-size: .8rem; } tbody th { white-space: normal; }
  th:first-child { position: sticky; left: 0; background: #fff; } }
@media print { tr, .verdict { break-inside: avoid; } p { break-after: avoid; }
  body { max-width: none; padding: 0; font-size: 10pt; } details { display: none; }
  .pale, figcaption, footer { font-size: 8.5pt; line-height: 1.35; } h2 { font-size: 13pt; margin-top: 1.1rem; }
  h2, h3 { break-after: avoid; } .figures { display: block; } figure { display: inline-block; width: 45%;
  margin: 0 3% .5rem 0; vertical-align: top; }
  .scroll { overflow: visible; break-inside: avoid; background: none; }
  th, td { padding: .12rem .4rem; } table { font-size: 8.5pt; } }
"""


@dataclass(frozen=True)
class Section:
    """A heading, paragraphs of plain text, and HTML below them."""

    title: str
    text: tuple[str, ...] = ()
    body: str = ""


def page(title: str, subtitle: Sequence[str], verdicts: Sequence[str], sections: Sequence[Section], foot: str) -> str:
    """The whole page; texts are escaped here, section bodies already are HTML."""
    below = "".join(f'<p class="pale">{escape(text)}</p>' for text in subtitle)
    top = "".join(f'<p class="verdict">{escape(text)}</p>' for text in verdicts)
    rest = "".join(_section(section) for section in sections)
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><title>{escape(title)}</title>'
        f"<style>{STYLE}</style></head>\n<body><h1>{escape(title)}</h1>"
        f"{below}{top}{rest}<h2></h2><footer>{escape(foot)}</footer></body></html>\n"
    )


def _section(section: Section) -> str:
    text = "".join(f"<p>{escape(paragraph)}</p>" for paragraph in section.text)
    return f"\n<h2>{escape(section.title)}</h2>{text}{section.body}"


def copyable(table: Table) -> str:
    """The table, and below it the same table as Markdown and as LaTeX to copy."""
    forms = (("Markdown", table.markdown()), ("LaTeX", table.latex()))
    folded = "".join(
        f"<details><summary>as {name}</summary><pre>{escape(text)}</pre></details>" for name, text in forms
    )
    return table.html() + folded


def words(table: Table) -> str:
    """A table of texts."""
    return f'<div class="words">{table.html()}</div>'


def figure_grid(figures: Sequence[ReportFigure]) -> str:
    """Figures side by side where there is room; a caption that they all share stands once, above them."""
    captions = list(dict.fromkeys(figure.caption for figure in figures))
    shared = captions[0] if len(captions) == 1 and len(figures) > 1 else ""
    boxes = "".join(_figure(figure, "" if shared else figure.caption) for figure in figures)
    return (f'<p class="pale">{escape(shared)}</p>' if shared else "") + f'<div class="figures">{boxes}</div>'


def _figure(figure: ReportFigure, caption: str) -> str:
    data = base64.b64encode(figure.png).decode()
    head = f"<h3>{escape(figure.run)}</h3>" if figure.run else ""
    alt = f"{escape(figure.section)}: {escape(figure.run or 'all runs')}"
    image = f'<img alt="{alt}" src="data:image/png;base64,{data}">'
    return f"<figure>{head}{image}<figcaption>{escape(caption)}</figcaption></figure>"
