"""The entropy of mixup's training labels by alpha (Thulasidasan et al. 2019, figure 5)."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from pipeline.calibration.label_entropy import LARGEST, entropy_distribution, mean_entropy
from pipeline.report.plot_style import BLUE, INK, new_figure, plain

BINS = 30


def entropy_figure(alphas: Sequence[float], same_class: float) -> Figure:
    """A histogram for each alpha, exact: a bar is the probability of its bin, the first bin holds 0. Dashed: mean."""
    figure = new_figure(0.6 + 1.3 * len(alphas))
    all_axes = figure.subplots(len(alphas), sharex=True, squeeze=False)[:, 0]
    edges = np.linspace(0, LARGEST, BINS + 1)
    for axes, alpha in zip(all_axes, alphas, strict=True):
        below = entropy_distribution(edges, alpha, same_class)
        below[0] = 0
        axes.stairs(np.diff(below), edges, fill=True, color=(BLUE, 0.35), edgecolor=BLUE)
        mean = mean_entropy(alpha, same_class)
        axes.axvline(mean, color=INK, linestyle="--", linewidth=1.2)
        axes.set_title(f"alpha {alpha:g}: mean {mean:.2f}", fontsize=9, loc="left")
        axes.set(ylabel="Labels", xlim=(0, LARGEST), ylim=(0, None))
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        plain(axes)
    all_axes[-1].set_xlabel("Entropy of the label (nats)")
    return figure
