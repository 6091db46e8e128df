"""The entropy of the labels that mixup trains on, for several alpha: computed, not sampled, so no run is needed.

    python pipeline/label_entropy.py 0.1 0.2 0.4 1 [--classes 10] [--plot entropy.png]

How much a label says beyond one class is what mixup has in common with label smoothing; with alpha 0, without mixup,
all entropies are 0. Features only (`mixing.targets=nearer`) trains on labels of entropy 0 too.
"""

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path

from pipeline.calibration.label_entropy import LARGEST, entropy_distribution, mean_entropy
from pipeline.report.tables import Table, table


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code: 0, or 2 after one line on stderr about the user's mistake."""
    given = _parser().parse_args(arguments)
    try:
        same_class = _same_class(given.alpha, given.classes)
        if given.plot is not None:
            from pipeline.report.plot_files import write_entropies  # matplotlib

            write_entropies(given.plot, given.alpha, same_class, "--plot")
    except ValueError as error:
        print(f"label_entropy.py: {error}", file=sys.stderr)
        return 2
    print(entropy_table(given.alpha, same_class).markdown())
    return 0


def entropy_table(alphas: Sequence[float], same_class: float) -> Table:
    """A row for each alpha: the mean, and how many labels are nearly of one class, or nearly of two."""
    rows = []
    for alpha in alphas:
        low, high = entropy_distribution([LARGEST / 10, LARGEST * 9 / 10], alpha, same_class)
        rows.append(
            [f"{alpha:g}", f"{mean_entropy(alpha, same_class):.4f}", f"{100 * low:.1f}", f"{100 - 100 * high:.1f}"]
        )
    return table(("alpha", "mean entropy (nats)", "below 10% of log 2 (%)", "above 90% (%)"), rows)


def _same_class(alphas: Sequence[float], classes: int | None) -> float:
    """The share of pairs within one class. ValueError for numbers that make no sense."""
    if not all(alpha > 0 and math.isfinite(alpha) for alpha in alphas):
        raise ValueError("alpha must be above 0; without mixup every label has entropy 0")
    if classes is not None and classes < 2:
        raise ValueError("--classes must be at least 2")
    return 1 / classes if classes else 0.0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("alpha", nargs="+", type=float, help="alpha of the Beta distribution, as mixing.alpha")
    parser.add_argument(
        "--classes",
        type=int,
        metavar="C",
        help="count pairs within one class too, 1 in C of all, with labels of entropy 0 (default: all pairs differ)",
    )
    parser.add_argument("--plot", type=Path, metavar="FILE.png", help="also draw a histogram for each alpha")
    return parser


if __name__ == "__main__":
    sys.exit(main())
