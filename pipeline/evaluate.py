"""The calibration report of one run or several: numbers with their noise, figures, one page.

    python pipeline/evaluate.py RUN [RUN ...] [--ood cifar100] [--out report]

RUN is a run folder or any .npz file with `logits` [N, C] and `labels` [N]. Writes into the report folder index.html
(self-contained), report.json, and every figure as PNG and PDF. Several runs of one test set are compared to the first.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from pipeline.report import posthoc
from pipeline.report.assessment import Effort
from pipeline.report.build import Options, write_report


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code: 0, or 2 after one line on stderr about the user's mistake."""
    given = _parser().parse_args(arguments)
    try:
        page, notes = write_report(_options(given))
    except (ValueError, OSError) as error:  # an OSError, such as a file without read permission, names its file
        print(f"evaluate.py: {error}", file=sys.stderr)
        return 2
    for note in notes:
        print(f"note: {note}")
    print(f"report: {page}")
    return 0


def _options(given: argparse.Namespace) -> Options:
    if given.draws < 1 or given.floor_draws < 1:
        raise ValueError("--draws and --floor-draws must be at least 1")
    if given.images < 0 or given.seed < 0:
        raise ValueError("--images and --seed must be at least 0")
    return Options(
        runs=tuple(given.runs),
        data=given.data,
        weights=given.weights,
        checkpoint=given.checkpoint,
        foreign=tuple(given.ood),
        calibration_split=given.calibration_split,
        methods=tuple(given.posthoc),
        images=given.images,
        out=given.out,
        effort=Effort(given.draws, given.floor_draws, given.seed),
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="evaluate.py", description="Write the calibration report of runs.")
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="run folder, or .npz of logits and labels")
    parser.add_argument("--data", help="folder that holds the run's data set, where it has moved")
    parser.add_argument("--weights", choices=("ema", "raw"), help="of a checkpoint, instead of predictions.npz")
    parser.add_argument("--checkpoint", type=int, metavar="STEP", help="step of it (default: the newest)")
    parser.add_argument(
        "--ood",
        nargs="+",
        default=[],
        metavar="DATA",
        help="images of other kinds: a data folder, the NAME of one beside the run's, or .npz of logits",
    )
    parser.add_argument(
        "--calibration-split",
        default="0.2",
        metavar="SHARE|FILE.npz",
        help="what post-hoc methods are fitted on: a share of the test set, then not scored (default 0.2; 0: none), "
        "or predictions on other images",
    )
    parser.add_argument(
        "--posthoc",
        nargs="+",
        choices=tuple(posthoc.METHODS),
        default=["temperature", "vector", "isotonic"],
        help="post-hoc methods (default: temperature vector isotonic)",
    )
    parser.add_argument("--images", type=int, default=5000, metavar="N", help="unlabelled images looked at (0: none)")
    parser.add_argument("--draws", type=int, default=1000, help="bootstrap draws (default 1000)")
    parser.add_argument("--floor-draws", type=int, default=200, help="draws of the floor (default 200)")
    parser.add_argument("--seed", type=int, default=0, help="of all draws (default 0)")
    parser.add_argument(
        "--out", type=Path, help="report folder (default: report in the run folder, or beside the runs)"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
