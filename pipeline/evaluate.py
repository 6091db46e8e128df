"""Writes the calibration report of one or several runs: scores with their uncertainty, figures, one page.

    python pipeline/evaluate.py RUN [RUN ...] [--ood cifar100] [--out report]

RUN is a run folder, or any .npz file with `logits` [N, C] and `labels` [N]. The report folder holds index.html
(self-contained), report.json, and every figure as PNG and PDF. Several runs must share a test set; each is compared
with the first. Each run folder also gets calibration.json, by which predict.py gives calibrated confidences.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from pipeline.report import posthoc
from pipeline.report.inputs import read_inputs
from pipeline.report.options import ReportOptions, ResamplingConfig


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code: 0, or 2 after one line on stderr about the user's mistake."""
    given = _parser().parse_args(arguments)
    try:
        options = _options(given)
        inputs = read_inputs(options)
        from pipeline.report.build import write_report  # matplotlib, which no mistake found above has to wait for

        page, notes = write_report(options, inputs)
    except (ValueError, OSError) as error:  # an OSError, such as a file without read permission, names its file
        print(f"evaluate.py: {error}", file=sys.stderr)
        return 2
    for note in notes:
        print(f"note: {note}")
    print(f"report: {page}")
    return 0


def _options(given: argparse.Namespace) -> ReportOptions:
    if given.draws < 1 or given.floor_draws < 1:
        raise ValueError("--draws and --floor-draws must be at least 1")
    if min(given.images, given.seed, given.mc_dropout, given.tta, given.hull_walk) < 0:
        raise ValueError("--images, --seed, --mc-dropout, --tta and --hull-walk must be at least 0")
    return ReportOptions(
        runs=tuple(given.runs),
        data=given.data,
        weights=given.weights,
        checkpoint=given.checkpoint,
        ood=tuple(given.ood),
        fit_on=given.fit_on,
        methods=tuple(given.posthoc),
        images=given.images,
        mc_dropout=given.mc_dropout,
        tta=given.tta,
        piece=given.piece,
        ensemble=None if given.ensemble is None else tuple(given.ensemble),
        hull_walk=given.hull_walk,
        out=given.out,
        resampling=ResamplingConfig(draws=given.draws, floor_draws=given.floor_draws, seed=given.seed),
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="evaluate.py", description="Write a calibration report of training runs or of files of predictions."
    )
    parser.add_argument(
        "runs",
        nargs="+",
        type=Path,
        metavar="RUN",
        help="a run folder written by pipeline/train.py, or an .npz file with `logits` [N, C] and `labels` [N]",
    )
    _add_network_options(parser)
    _add_mean_options(parser)
    _add_image_options(parser)
    _add_post_hoc_options(parser)
    _add_resampling_options(parser)
    parser.add_argument(
        "--out",
        type=Path,
        help="folder to write the report to (default: `report` in the run folder or beside the given files)",
    )
    return parser


def _add_network_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", help="folder that holds the run's data set, if it has moved since training")
    parser.add_argument(
        "--weights",
        choices=("ema", "raw", "selected"),
        help="evaluate the moving average (ema) or the raw weights of a checkpoint, or those that the run selected "
        "(evaluation.select), instead of reading predictions.npz",
    )
    parser.add_argument(
        "--checkpoint",
        type=int,
        metavar="STEP",
        help="evaluate the checkpoint of this step instead of reading predictions.npz (default with --weights: the "
        "newest checkpoint)",
    )


def _add_mean_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--mc-dropout",
        type=int,
        default=0,
        metavar="N",
        help="report also the mean of N passes with dropout, of each run that was trained with model.dropout",
    )
    parser.add_argument(
        "--tta",
        type=int,
        default=0,
        metavar="N",
        help="report also the mean over N weak views of each test image, drawn as in training, of each run",
    )
    parser.add_argument(
        "--ensemble",
        nargs="*",
        type=Path,
        metavar="RUN",
        help="report also the mean prediction of these of the given runs; without names, of all",
    )


def _add_image_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--ood",
        nargs="+",
        default=[],
        metavar="DATA",
        help="out-of-distribution images to detect: a data folder, the name of one beside the run's own, "
        "or an .npz file with `logits`",
    )
    parser.add_argument(
        "--images",
        type=int,
        default=5000,
        metavar="N",
        help="number of unlabelled training images to inspect the pseudo-labels of (default: 5000; 0: none)",
    )
    parser.add_argument(
        "--piece",
        action="store_true",
        help="report also PIECE: calibration by how near a test image lies to the run's labelled training images",
    )
    parser.add_argument(
        "--hull-walk",
        type=int,
        default=0,
        metavar="N",
        help="move N test images ever further away from the training images in a random direction (default: 0)",
    )


def _add_post_hoc_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--posthoc",
        nargs="+",
        choices=tuple(posthoc.METHODS),
        default=["temperature", "vector", "isotonic"],
        help="post-hoc calibration methods to compare (default: temperature vector isotonic)",
    )
    parser.add_argument(
        "--fit-on",
        metavar="SHARE|FILE.npz",
        help="predictions to fit the post-hoc methods on: a share of the test set, which is then not scored, or a "
        "file of predictions on other images (default: each run's validation images if all runs have some, else 0.2; "
        "0: no post-hoc calibration)",
    )


def _add_resampling_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--draws", type=int, default=1000, help="number of bootstrap draws for the 95%% intervals (default: 1000)"
    )
    parser.add_argument(
        "--floor-draws",
        type=int,
        default=200,
        help="number of test sets simulated for the floor: the score of a perfectly calibrated model (default: 200)",
    )
    parser.add_argument("--seed", type=int, default=0, help="random seed of all draws and splits (default: 0)")


if __name__ == "__main__":
    sys.exit(main())
