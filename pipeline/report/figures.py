"""Which figures a report has: each with its file name, its section, and what to see in it."""

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from matplotlib.figure import Figure

from pipeline.calibration.sums import Floats, Ints
from pipeline.report.plots import reliability_figure
from pipeline.report.plots_acting import selective_figure
from pipeline.report.plots_confidence import confidence_figure
from pipeline.report.plots_density import margin_figure, winning_score_figure
from pipeline.report.plots_images import (
    PredictionSummary,
    disagreement_figure,
    disagreements,
    image_grid,
    wrong_caption,
)
from pipeline.report.plots_training import progress_figure, pseudo_label_figure
from pipeline.report.plots_walk import walk_figure
from pipeline.report.pseudo_label_sample import PseudoLabelSample
from pipeline.report.records import WalkPoint
from pipeline.report.subjects import RunImages, Subject

WRONG_SHOWN = 12  # wrong pseudo-labels
PNG_DPI = 200
RELIABILITY = (
    "Bars: accuracy of the test images in each confidence bin, with its 95% interval. Hatched: the gap to the mean "
    "confidence; the dashed diagonal is perfect calibration. Below: how many images have that confidence."
)
SELECTIVE = (
    "Accuracy among the most confident share of the test images. A line that rises steeply to the left belongs to "
    "confidences that tell right from wrong; whether they are too high or too low plays no part."
)
TRAINING = (
    "The training loss, and error and ECE on the test images at every evaluation. Plain OE and UE, of runs that log "
    "them: the parts of the ECE (15 bins) that come from confidences above and below the accuracy."
)
CONFIDENCE = (
    "Accuracy and mean winning score of the test images at every evaluation of a training, and how densely these lie. "
    "Below the diagonal the network is overconfident; overfitting moves it to the right while accuracy stands still."
)
PSEUDO_LABELS = (
    "Impurity: share of the pseudo-labels in use that are wrong, where the true labels are known. Mask rate: share of "
    "unlabelled images whose pseudo-label is in use."
)
WALK = (
    "Test images moved by mu in a random direction, away from all training images (Thulasidasan et al. 2019, appendix "
    "D). Where accuracy falls, the winning score should fall with it, and entropy should rise towards the logarithm of "
    "the number of classes. The numbers are in hull-walk.csv."
)


@dataclass(frozen=True)
class ReportFigure:
    """A figure of the report; `slug` is its file name without an ending, `run` the run it shows, "" if several."""

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
        """For a paper; without a date, so that the same numbers give the same file."""
        return self._bytes("pdf", 300)

    def _bytes(self, kind: str, dpi: int) -> bytes:
        buffer = io.BytesIO()
        metadata = {"CreationDate": None} if kind == "pdf" else {}
        self.figure.savefig(buffer, format=kind, dpi=dpi, metadata=metadata)
        return buffer.getvalue()


def figures_of_run(of: Subject, ood: Mapping[str, Floats]) -> Iterator[ReportFigure]:
    """The figures of one run; `ood`: confidences [M] of out-of-distribution images by name."""
    predictions = of.predictions
    yield ReportFigure(
        slug="reliability",
        section="Reliability",
        run=of.name,
        caption=RELIABILITY,
        figure=reliability_figure([(of.name, predictions.logits, predictions.labels)], predictions.settings.ece_bins),
    )
    others = ", and for out-of-distribution images" if ood else ""
    yield ReportFigure(
        slug="winning-score",
        section="Winning score",
        run=of.name,
        caption=f"Density of the highest probability, separately for right and wrong predictions{others}. In a "
        "well-calibrated model, wrong and out-of-distribution images lie to the left.",
        figure=winning_score_figure(predictions.sums.confidence, predictions.sums.correct, ood),
    )
    if of.images and of.pseudo_labels:
        yield from _pseudo_label_figures(of, of.images, of.pseudo_labels)


def _pseudo_label_figures(of: Subject, images: RunImages, sample: PseudoLabelSample) -> Iterator[ReportFigure]:
    kind = "APM, the average pseudo-margin that CalibrateMix sorts by" if sample.is_apm else "margin at this checkpoint"
    yield ReportFigure(
        slug="margins",
        section="Margins of unlabelled images",
        run=of.name,
        caption=f"{len(sample.index):,} unlabelled images by the {kind}; the dashed median separates hard from easy. "
        "The more of the wrong pseudo-labels lie on the hard side, the better the margin identifies them.",
        figure=margin_figure(sample),
    )
    worst = sample.most_confident_wrong(WRONG_SHOWN)
    if len(worst):
        yield ReportFigure(
            slug="wrong-pseudo-labels",
            section="Most confident wrong pseudo-labels",
            run=of.name,
            caption=f"The most confident mistakes among {len(sample.index):,} unlabelled images "
            f"({sample.wrong.mean():.1%} of them are wrong): the true class, the pseudo-label, and its confidence."
            + _files(images, "train", sample.index[worst]),
            figure=image_grid(images.train(sample.index[worst]), [_wrong_caption(of, sample, i) for i in worst]),
        )


def _files(images: RunImages, part: str, index: Ints) -> str:
    """The end of a caption: the files of the images at `index` [n], in the order in which they are shown."""
    files = images.files(part)
    names = [files[i].encode("utf-8", "backslashreplace").decode() for i in index] if files else []
    return f" Their files in the source: {', '.join(names)}." if names else ""


def _wrong_caption(of: Subject, sample: PseudoLabelSample, position: int) -> str:
    label, truth = sample.pseudo_label[position], sample.truth[position]
    return wrong_caption(of.classes[label], float(sample.confidence[position]), of.classes[truth])


def figures_of_all(subjects: Sequence[Subject]) -> Iterator[ReportFigure]:
    """Figures that all runs share."""
    yield ReportFigure(
        slug="accuracy-coverage",
        section="Accuracy against coverage",
        run="",
        caption=SELECTIVE,
        figure=selective_figure([(of.name, of.predictions.sums) for of in subjects]),
    )
    logs = [(of.name, of.log) for of in subjects]
    for slug, caption, figure in (
        ("training", TRAINING, progress_figure(logs)),
        ("confidence", CONFIDENCE, confidence_figure(logs)),
        ("pseudo-labels", PSEUDO_LABELS, pseudo_label_figure(logs)),
    ):
        if figure:
            yield ReportFigure(slug=slug, section="During training", run="", caption=caption, figure=figure)
    for number, other in enumerate(subjects[1:], 2):
        yield from _disagreement(subjects[0], other, f"disagreement-1-{number}")


def _disagreement(first: Subject, other: Subject, slug: str) -> Iterator[ReportFigure]:
    """Nothing where no images are at hand, or where the runs never differ."""
    with_images = first if first.images else other
    if with_images.images is None:
        return
    pair = _summary("A", first), _summary("B", other)
    labels = first.predictions.labels
    cases = disagreements(*pair, labels)
    if not cases:
        return
    images = [with_images.images.test(case.index) for case in cases]
    yield ReportFigure(
        slug=slug,
        section="Where two runs disagree",
        run="",
        caption=f"Test images on which A ({first.name}) and B ({other.name}) differ most: both are wrong and one is "
        "much more confident, or one is right and the other is confidently wrong. Above each image: its true class, "
        "then what A and B predicted, and how confidently."
        + _files(with_images.images, "test", np.concatenate([case.index for case in cases])),
        figure=disagreement_figure(cases, images, pair, labels, with_images.classes),
    )


def _summary(letter: str, of: Subject) -> PredictionSummary:
    predictions = of.predictions
    return PredictionSummary(
        name=f"{letter} ({of.name})",
        predicted=predictions.logits.argmax(axis=1),
        confidence=predictions.sums.confidence,
    )


def figures_of_walks(walks: Mapping[str, Mapping[str, Sequence[WalkPoint]]]) -> Iterator[ReportFigure]:
    """Nothing where --hull-walk was not asked for."""
    if walks:
        yield ReportFigure(
            slug="hull-walk", section="Leaving the convex hull", run="", caption=WALK, figure=walk_figure(walks)
        )


def numbered(figures: Sequence[ReportFigure], number: int, total: int) -> list[ReportFigure]:
    """With the run's number in the file names, where there are several runs."""
    return [replace(one, slug=f"{one.slug}-{number}") for one in figures] if total > 1 else list(figures)
