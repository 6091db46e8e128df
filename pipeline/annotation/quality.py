"""How good generated groups are, as an encoder sees them: numbers of lambda_E and of what the ends are taken for."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.annotation.packed import Groups

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class PairQuality:
    """Of P pairs of classes ``pairs`` [P, 2]: how many ``groups`` [P], mean lambda_E at each place ``curves`` [P, S].

    ``ends``: share of the groups whose image at the first and at the last place is taken for class b and class a
    [P, 2]. ``correlation``: mean of the groups' rank correlations [P].
    """

    pairs: Ints
    groups: Ints
    curves: Floats
    ends: Floats
    correlation: Floats

    @property
    def rising(self) -> NDArray[np.bool_]:
        """[P] where the mean lambda_E rises from place to place."""
        return np.all(np.diff(self.curves, axis=1) > 0, axis=1)


def pair_quality(groups: Groups, lambda_e: NDArray[np.float32], predicted: Ints) -> PairQuality:
    """``lambda_e`` [N]; ``predicted``: the class that the encoder finds likeliest, int64 [N]."""
    pairs, pair_of = groups.pairs
    by_group = lambda_e.reshape(len(groups.first), -1).astype(np.float64)
    answers = predicted.reshape(by_group.shape)
    right = np.stack([answers[:, 0] == groups.second, answers[:, -1] == groups.first], 1)
    return PairQuality(
        pairs=pairs,
        groups=np.bincount(pair_of, minlength=len(pairs)),
        curves=_means(by_group, pair_of, len(pairs)),
        ends=_means(right.astype(np.float64), pair_of, len(pairs)),
        correlation=_means(rank_correlation(by_group)[:, None], pair_of, len(pairs))[:, 0],
    )


def _means(values: Floats, number: Ints, count: int) -> Floats:
    """Means [count, C] of the rows of ``values`` [G, C] by their ``number`` [G]."""
    sums = np.zeros((count, values.shape[1]))
    np.add.at(sums, number, values)
    return sums / np.bincount(number, minlength=count)[:, None]


def rank_correlation(values: Floats) -> Floats:
    """Spearman's correlation of each row of ``values`` [G, S] with its places, [G]; 0 where a row is constant."""
    from scipy.stats import rankdata  # slow to import

    ranks = rankdata(values, axis=1) - (values.shape[1] + 1) / 2
    places = np.arange(values.shape[1]) - (values.shape[1] - 1) / 2
    scale = np.sqrt((ranks**2).sum(1) * (places**2).sum())
    return np.divide(ranks @ places, scale, out=np.zeros(len(ranks)), where=scale > 0)


def overall(groups: Groups, lambda_e: NDArray[np.float32], of: PairQuality) -> dict[str, float | int | list[float]]:
    """The numbers of all groups together; shares are between 0 and 1."""
    total = of.groups.sum()  # divided by last, so that a share of all is 1 to the last bit
    return {
        "images": len(lambda_e),
        "groups": len(groups.first),
        "pairs": len(of.pairs),
        "ends_as_intended": float((of.ends.mean(1) * of.groups).sum() / total),
        "rising_pairs": int(of.rising.sum()),
        "rank_correlation": float((of.correlation * of.groups).sum() / total),
        "lambda_e_outside": float(((lambda_e < 0) | (lambda_e > 1)).mean()),
        "lambda_e_by_place": lambda_e.reshape(-1, len(groups.ratios)).mean(0, dtype=np.float64).tolist(),
    }
