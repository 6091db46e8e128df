"""Which figures a report has: each with the file name, the section it stands in, and what to see in it."""

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from matplotlib.figure import Figure

from pipeline.calibration.scores import sums
from pipeline.calibration.sums import Floats
from pipeline.report.guesses import Guesses, pixels
from pipeline.report.plots import reliability_figure
from pipeline.report.plots_density import margin_figure, winning_score_figure
from pipeline.report.plots_images import (
    Believed,
    disagreement_figure,
    disagreements,
    image_grid,
    wrong_caption,
)
from pipeline.report.plots_training import progress_figure, pseudo_label_figure
from pipeline.report.subjects import Subject

GRID = 12  # wrong pseudo-labels shown
PNG_DPI = 200


@dataclass(frozen=True)
class Shown:
    """A figure of the report; `slug` is its file name without an ending, `run` the run it is of, if of one."""

    slug: str
    section: str
    run: str
    caption: str
    figure: Figure

    @cached_property
    def png(self) -> bytes:
        """For the page and for slides."""
        return self._bytes("png", PNG_DPI)

    def pdf(self) -> bytes:
        """For a paper; no date in it, so the same numbers give the same file."""
        return self._bytes("pdf", 300)

    def _bytes(self, kind: str, dpi: int) -> bytes:
        buffer = io.BytesIO()
        metadata = {"CreationDate": None} if kind == "pdf" else {}
        self.figure.savefig(buffer, format=kind, dpi=dpi, metadata=metadata)
        return buffer.getvalue()


def figures_of_run(of: Subject, foreign: Mapping[str, Floats], seen: Guesses | None) -> Iterator[Shown]:
    """The figures of one run; `foreign`: confidences of other images by name; `seen`: its pseudo-labels, if any."""
    yield Shown(
        "reliability",
        "Reliability",
        of.name,
        "Bars: accuracy of the test images in each bin of confidence, with its 95% interval. Hatched: the gap to "
        "the mean confidence; the dashed diagonal is perfect calibration. Below: how many images have that confidence.",
        reliability_figure([(of.name, of.logits, of.labels)], of.bins),
    )
    confidence, correct = believed_and_right(of)
    yield Shown(
        "winning-score",
        "Winning score",
        of.name,
        "Density of the highest probability, apart for right and wrong predictions"
        + (", and for images of other kinds. " if foreign else ". ")
        + "Well calibrated: wrong and foreign images lie to the left.",
        winning_score_figure(confidence, correct, foreign),
    )
    if seen is not None:
        yield from _pseudo_label_figures(of, seen)


def _pseudo_label_figures(of: Subject, seen: Guesses) -> Iterator[Shown]:
    assert of.restored is not None
    names, worst = of.class_names(), seen.worst(GRID)
    kind = "APM, the average pseudo-margin that CalibrateMix sorts by" if seen.is_apm else "margin at this checkpoint"
    yield Shown(
        "margins",
        "Margins of unlabelled images",
        of.name,
        f"{len(seen.index):,} unlabelled images by the {kind}; the dashed median parts hard from easy. The more of the "
        "wrong pseudo-labels are on the hard side, the better the margin tells them.",
        margin_figure(seen),
    )
    if len(worst):
        captions = [wrong_caption(names[seen.guess[i]], float(seen.confidence[i]), names[seen.truth[i]]) for i in worst]
        images = pixels(of.restored, of.restored.dataset.train_beton, seen.index[worst])
        yield Shown(
            "wrong-pseudo-labels",
            "Wrong pseudo-labels of the highest confidence",
            of.name,
            f"The surest mistakes among {len(seen.index):,} unlabelled images ({seen.wrong.mean():.1%} of them are "
            "wrong): what the image is, what it was taken for, and how surely.",
            image_grid(images, captions),
        )


def figures_of_all(subjects: Sequence[Subject]) -> Iterator[Shown]:
    """Figures that all runs share."""
    lines = [(of.name, of.lines) for of in subjects]
    drawn = progress_figure(lines), pseudo_label_figure(lines)
    if drawn[0]:
        yield Shown("training", "Over training", "", "Error and ECE of the test images at every evaluation.", drawn[0])
    if drawn[1]:
        yield Shown(
            "pseudo-labels",
            "Over training",
            "",
            "Impurity: share of the pseudo-labels in use that are wrong, where the true labels are known. "
            "Mask rate: share of unlabelled images whose pseudo-label is in use.",
            drawn[1],
        )
    for number, other in enumerate(subjects[1:], 2):
        yield from _disagreement(subjects[0], other, f"disagreement-1-{number}")


def _disagreement(first: Subject, other: Subject, slug: str) -> Iterator[Shown]:
    """Nothing where no images are at hand, or the runs never differ."""
    shower = first.restored or other.restored
    if shower is None:
        return
    pair = tuple(
        Believed(f"{letter} ({of.name})", of.logits.argmax(axis=1), believed_and_right(of)[0])
        for letter, of in zip("AB", (first, other), strict=True)
    )
    cases = disagreements(pair[0], pair[1], first.labels)
    if not cases:
        return
    beton = shower.dataset.test_beton
    shown = [pixels(shower, beton, case.index) for case in cases]
    names = shower.dataset.classes
    yield Shown(
        slug,
        "Where two runs disagree",
        "",
        f"Test images on which A ({first.name}) and B ({other.name}) differ most: both wrong and one much surer, or "
        "one right and the other surely wrong. Above each: what it is, then what A and B said and how surely.",
        disagreement_figure(cases, shown, (pair[0], pair[1]), first.labels, names),
    )


def believed_and_right(of: Subject) -> tuple[Floats, Floats]:
    """Confidence and correctness [N] of the test images."""
    total = sums(of.logits, of.labels)
    return total.confidence, total.correct


def numbered(shown: Sequence[Shown], number: int, total: int) -> list[Shown]:
    """With the run's number in the file names, where there are several runs."""
    return [replace(one, slug=f"{one.slug}-{number}") for one in shown] if total > 1 else list(shown)
