"""What there is to see of annotated groups: annotation.json, and a page of figures in the folder `annotation`."""

import csv
import io
import json
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.annotation.packed import FIELDS, Groups
from pipeline.annotation.quality import PairQuality
from pipeline.annotation.soft_labels import calibrated_lambda
from pipeline.annotation.stored import Annotation
from pipeline.data.central_crops import CentralCrops
from pipeline.report.figures import ReportFigure
from pipeline.report.page import Section, copyable, figure_grid, page, words
from pipeline.report.plots_groups import curve_figure, ends_figure, group_rows
from pipeline.report.tables import Table, table
from pipeline.runs.files import write_atomically

ROWS = 10  # groups shown
FOLDER, NUMBERS = "annotation", "annotation.json"
Numbers = dict[str, Any]

MEANINGS = {
    "Images": "Generated images, groups, and pairs of classes that the groups lie between.",
    "Ends as intended": "Share of the first and last images of the groups that the encoder takes for the class that "
    "the generator was given alone.",
    "Pairs that rise": "Pairs whose mean lambda_E is larger at every place than at the one before.",
    "Rank correlation": "Spearman's, of lambda_E with the ratio within a group: the mean over groups. 1: every step "
    "of the ratio moves the image towards the first class.",
    "lambda_E outside [0, 1]": "Share of the images whose features lie beyond a prototype. Eq. 11 needs no bounds.",
    "Mean lambda_E by place": "From the images of class b alone to those of class a.",
    "Frechet, ends": "Frechet distance between the encoder's features of real labelled images and of the ends.",
    "Frechet, between": "The same of the images in between: they should be further away than the ends.",
    "Frechet, test": "The same of the real test images: what sampling alone gives, at their number. Distances compare "
    "only for one encoder and like numbers of images.",
}


def number_table(numbers: Numbers) -> Table:
    """The numbers, in words' order."""
    distances = numbers["frechet"]
    rows = {
        "Images": f"{numbers['images']:,} in {numbers['groups']:,} groups, {numbers['pairs']:,} pairs",
        "Ends as intended": f"{numbers['ends_as_intended']:.1%}",
        "Pairs that rise": f"{numbers['rising_pairs']:,} of {numbers['pairs']:,}",
        "Rank correlation": f"{numbers['rank_correlation']:.4f}",
        "lambda_E outside [0, 1]": f"{numbers['lambda_e_outside']:.1%}",
        "Mean lambda_E by place": " ".join(f"{share:.3f}" for share in numbers["lambda_e_by_place"]),
        **{f"Frechet, {name}": _distance(distances[name]) for name in ("ends", "between", "test")},
    }
    assert rows.keys() == MEANINGS.keys()
    return table(("", numbers["dataset"]), list(rows.items()))


def _distance(found: Numbers) -> str:
    images = f"({found['images']:,} images)"
    return f"none {images}" if found["distance"] is None else f"{found['distance']:.3f} {images}"


def write_look(groups: Groups, annotation: Annotation, numbers: Numbers, quality: PairQuality, image_size: int) -> Path:
    """Writes annotation.json, and the page, its figures and pairs.csv in the folder `annotation`; returns the page."""
    folder = groups.folder / FOLDER
    folder.mkdir(exist_ok=True)
    figures = _figures(groups, annotation, quality, numbers["scale"], image_size)
    for figure in figures:
        write_atomically(folder / f"{figure.slug}.png", figure.png)
        write_atomically(folder / f"{figure.slug}.pdf", figure.pdf())
    write_atomically(folder / "pairs.csv", pairs_csv(quality, groups.classes))
    write_atomically(folder / "index.html", _page(groups, annotation, numbers, figures))
    write_atomically(groups.folder / NUMBERS, json.dumps(numbers, indent=1) + "\n")
    return folder / "index.html"


def pairs_csv(of: PairQuality, classes: Sequence[str]) -> str:
    """A line for each pair: its classes, groups, shares of ends as intended, rank correlation, lambda_E by place."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    places = [f"lambda_e_{place}" for place in range(of.curves.shape[1])]
    writer.writerow(["a", "b", "groups", "ends_b", "ends_a", "rank_correlation", *places])
    for (a, b), number, ends, correlation, curve in zip(
        of.pairs, of.groups, of.ends, of.correlation, of.curves, strict=True
    ):
        values = [f"{value:.6g}" for value in (*ends, correlation, *curve)]
        writer.writerow([classes[a], classes[b], number, *values])
    return text.getvalue()


def _figures(
    groups: Groups, annotation: Annotation, of: PairQuality, scale: float, image_size: int
) -> list[ReportFigure]:
    chosen = shown_groups(groups)
    images = group_images(groups, chosen, image_size)
    shares = annotation.lambda_e.reshape(len(groups.first), -1)[chosen]
    lambdas = calibrated_lambda(torch.from_numpy(shares), scale).numpy().astype(np.float64)
    names = [(groups.classes[groups.second[group]], groups.classes[groups.first[group]]) for group in chosen]
    return [
        ReportFigure(
            slug="groups",
            section="Groups",
            run="",
            caption=f"The first group of pairs of classes, evenly chosen. Above: the ratio that the generator was "
            f"given, the share of the class to the right. Below each image: lambda (Eq. 11, s = {scale:g}).",
            figure=group_rows(images, lambdas, groups.ratios, names),
        ),
        ReportFigure(
            slug="curves",
            section="lambda_E over the ratio",
            run="",
            caption="Mean lambda_E of the images at each ratio, by pair of classes. Where a curve is steep, little of "
            "the ratio turns one class into the other: the ratio would be a poor label.",
            figure=curve_figure(of.curves, groups.ratios, of.rising),
        ),
        ReportFigure(
            slug="ends",
            section="What the ends are taken for",
            run="",
            caption="Percentage of the ends of a pair's groups that the encoder takes for the class they should be of.",
            figure=ends_figure(of.pairs, of.ends, groups.classes),
        ),
    ]


def shown_groups(groups: Groups) -> NDArray[np.int64]:
    """The first groups of at most ROWS pairs, evenly chosen, as positions among all groups, sorted."""
    pairs, pair_of = groups.pairs
    chosen = np.unique(np.linspace(0, len(pairs) - 1, min(ROWS, len(pairs))).round().astype(np.int64))
    return np.sort([int(np.argmax(pair_of == pair)) for pair in chosen]).astype(np.int64)


def group_images(groups: Groups, chosen: NDArray[np.int64], image_size: int) -> NDArray[np.uint8]:
    """Images uint8 [n, S, H, H, 3] of the ``chosen`` groups [n], cropped as the encoder saw them."""
    places = len(groups.ratios)
    indices = (chosen[:, None] * places + np.arange(places)).reshape(-1)
    crops = CentralCrops(groups.beton, image_size, len(indices), 1, indices=indices, fields=FIELDS)
    (batch,) = crops.batches()
    return batch.permute(0, 2, 3, 1).numpy().reshape(len(chosen), places, image_size, image_size, 3)


def _page(groups: Groups, annotation: Annotation, numbers: Numbers, figures: Sequence[ReportFigure]) -> str:
    saw = "unknown" if annotation.encoder_positions is None else f"{len(annotation.encoder_positions):,}"
    generator = "unknown" if groups.generator_positions is None else f"{len(groups.generator_positions):,}"
    subtitle = [
        f"Encoder: {annotation.encoder}",
        f"Labelled images: prototypes {len(annotation.prototype_positions):,}, encoder {saw}, generator {generator}",
    ]
    sections = [
        Section("Numbers", body=copyable(number_table(numbers))),
        *(Section(figure.section, body=figure_grid([figure])) for figure in figures),
        Section("What the numbers mean", body=words(table(("", ""), list(MEANINGS.items())))),
    ]
    foot = f"calibratemix {version('calibratemix')}; {groups.folder.name}, sha256 {groups.images_sha256}"
    return page(f"Generated images between classes of {groups.dataset}", subtitle, [], sections, foot)
