"""Which of two soft labels L2, cross-entropy and the focal loss fit better: beta against delta, as CSM has it.

    python pipeline/balance.py [--alpha 0.9 0.6] [--deltas 0.01 0.03 0.06 0.1 0.15] [--plot balance.png]

Two labels of one class pair give the first class the probabilities of --alpha; predictions lie at most delta apart in
squared distance. beta = |p1 - q1|^2 - |p2 - q2|^2 at the minimum of the summed losses: 0 where the loss treats both
alike, below 0 where it favours the more confident label. Computed by numeric optimisation, so no run is needed.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from pipeline.calibration.balance import LOSSES, distance, fit
from pipeline.report.tables import Table, table

DELTAS = (0.01, 0.03, 0.06, 0.1, 0.15)


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code: 0, or 2 after one line on stderr about the user's mistake."""
    given = _parser().parse_args(arguments)
    try:
        alphas = _alphas(given.alpha)
        deltas = _deltas(given.deltas, round(distance(*alphas), 12))
        if given.plot is not None:
            from pipeline.report.plot_files import write_balance  # matplotlib

            write_balance(given.plot, alphas, "--plot")
    except ValueError as error:
        print(f"balance.py: {error}", file=sys.stderr)
        return 2
    print(balance_table(alphas, deltas).markdown())
    return 0


def balance_table(alphas: tuple[float, float], deltas: Sequence[float]) -> Table:
    """A row for each delta, beta by loss; a rounding error prints as 0."""
    rows = []
    for delta in deltas:
        found = (fit(loss, *alphas, delta).beta for loss in LOSSES.values())
        rows.append([f"{delta:g}", *(f"{round(beta, 5) + 0.0:.5f}" for beta in found)])
    return table(("delta", *(f"beta, {name}" for name in LOSSES)), rows)


def _alphas(given: Sequence[float]) -> tuple[float, float]:
    """ValueError where the labels are not two soft ones of the same class, the more confident first."""
    first, second = given
    if not 0.5 <= second < first < 1:
        raise ValueError(f"--alpha {first:g} {second:g}: give two numbers from 0.5 to below 1, the larger one first")
    return first, second


def _deltas(given: Sequence[float], largest: float) -> Sequence[float]:
    """ValueError where the predictions could be as far apart as the labels."""
    for delta in given:
        if not 0 < delta < largest:
            raise ValueError(f"--deltas {delta:g}: must be above 0 and below {largest:g}, the distance of the labels")
    return given


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    text = "probability of the class in the one and in the other label (default: 0.9 0.6)"
    add("--alpha", nargs=2, type=float, default=(0.9, 0.6), metavar="A", help=text)
    text = "largest squared distances of the two predictions (default: 0.01 0.03 0.06 0.1 0.15)"
    add("--deltas", nargs="+", type=float, default=DELTAS, metavar="D", help=text)
    add("--plot", type=Path, metavar="FILE.png", help="also draw beta against delta, up to the distance of the labels")
    return parser


if __name__ == "__main__":
    sys.exit(main())
