"""A table says the same in Markdown, LaTeX and HTML, and no cell can break out of its form."""

from pipeline.report.tables import latex_text, table

SAMPLE = table(("", "ECE (%)"), [("a_b|c & <i>", "−1.5°"), ("d", "12.0")])


def test_markdown_lines_are_equally_long_and_escaped() -> None:
    lines = SAMPLE.markdown().splitlines()
    assert len({len(line) for line in lines}) == 1 and len(lines) == 4
    assert lines[1].startswith("|:-") and lines[1].endswith("-:|")
    assert lines[2].split(" | ")[0] == "| a_b\\|c & <i>"


def test_latex_escapes_what_it_reads_as_commands() -> None:
    lines = SAMPLE.latex().splitlines()
    assert lines[0] == r"\begin{tabular}{lr}" and lines[-1] == r"\end{tabular}"
    assert lines[2] == r" & ECE (\%) \\"
    assert lines[4] == r"a\_b|c \& <i> & $-$1.5$^\circ$ \\"
    assert latex_text("\\~^{}$#") == r"\textbackslash{}\textasciitilde{}\textasciicircum{}\{\}\$\#"


def test_html_escapes_cells() -> None:
    page = SAMPLE.html()
    assert "<th>a_b|c &amp; &lt;i&gt;</th><td>−1.5°</td>" in page
    assert page.count("<tr>") == 3 and "<i>" not in page
