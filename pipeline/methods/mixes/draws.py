"""The random numbers of mixing: functions of (seed, step or visit, who), the same on any number of ranks."""

import numpy as np
from numpy.typing import NDArray

from pipeline.config.sections import MixingConfig
from pipeline.methods.mixing import MixingPool
from pipeline.randomness import LAMBDA, PARTNER, uniforms

Floats = NDArray[np.float64]


def lambdas(options: MixingConfig, uniform: Floats) -> Floats:
    """Uniform draws -> lambda: Beta(alpha, alpha) by its inverse distribution function, or the fixed alpha."""
    if options.lambda_from == "fixed":
        lam = np.full_like(uniform, options.alpha)
    else:
        from scipy.special import betaincinv  # half a second that runs without mixing need not wait for

        lam = betaincinv(options.alpha, options.alpha, uniform)
    return np.maximum(lam, 1 - lam) if options.fold_max else lam


def labelled_draws(options: MixingConfig, seed: int, pool: MixingPool, repeat: int) -> Floats:
    """[3, L]: partner uniform, lambda where the labelled image is easy, lambda where it is hard.

    Functions of (visit, index) of the labelled image, but of the step where one lambda serves a whole direction.
    """
    index, visit = pool.labelled_index, pool.labelled_visit
    partner = uniforms(seed, PARTNER, visit, index, counter=repeat)
    if options.lambda_per == "pair":
        easy = hard = uniforms(seed, LAMBDA, visit, index, counter=repeat)
    else:
        directions = np.zeros(2, np.int64) if options.lambda_per == "step" else np.arange(2)
        easy, hard = uniforms(seed, LAMBDA, np.full(2, pool.step), directions, counter=repeat)[:, None]
    lam = [lambdas(options, u) for u in (easy, hard)]
    return np.stack(np.broadcast_arrays(partner, *lam))


def listed_draws(options: MixingConfig, seed: int, pool: MixingPool, kinds: NDArray[np.int64]) -> Floats:
    """[3, M]: two uniforms to choose members and lambda for the M pairs of a list; ``kinds`` [M]: pair's direction."""
    number = np.arange(len(kinds)) + pool.number * len(kinds)
    step = np.full(len(kinds), pool.step)
    members = [uniforms(seed, PARTNER, step, number, view=1, counter=c) for c in (0, 1)]
    who = {"pair": number, "direction": kinds, "step": np.zeros_like(kinds)}[options.lambda_per]
    return np.stack([*members, lambdas(options, uniforms(seed, LAMBDA, step, who, view=1))])
