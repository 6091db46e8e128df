"""The table as Markdown and LaTeX."""

import pytest

from slurm.grids.paper import Published
from slurm.outcome import tables
from slurm.outcome.entries import Entry


@pytest.mark.parametrize(("ours", "text"), [(2.6, "**2.50**, ≈ +0.10"), (9.0, "**2.50**, +6.50")])
def test_the_papers_value_with_the_difference(ours: float, text: str) -> None:
    published = Published(2.5, None, True)
    found = Entry("ece", "m", "d", "4", "g", (ours, ours), 3, 0.2, published)
    assert text in tables.markdown([found], "t")
    assert text.replace("**2.50**", r"\textbf{2.50}").replace("≈", r"$\approx$") in tables.latex([found], "t")
