"""What each score is called, means and comes from, in the order of the report. All are better when lower."""

import math
from typing import NamedTuple


class Score(NamedTuple):
    """A score of `calibration.scores`; `unit` is "%" or "" (nats of `nll`; `brier`), `most` its largest value."""

    title: str
    unit: str
    meaning: str
    most: float = 100


SCORES = {
    "error": Score("Error", "%", "share of wrong predictions (top-1)"),
    "ece": Score(
        "ECE",
        "%",
        "mean gap between confidence and accuracy over {bins} equal bins [lo, hi), as CalibrateMix's release",
    ),
    "ece15": Score("ECE, 15 bins", "%", "the same over 15 equal bins (lo, hi], as the literature (Guo et al. 2017)"),
    "ace": Score("ACE", "%", "the same over 15 bins of equally many samples (Nguyen and O'Connor 2015)"),
    "ks": Score("KS", "%", "largest gap between cumulated confidence and accuracy, no bins (Gupta et al. 2021)"),
    "cece": Score(
        "Classwise ECE", "%", "ECE of each class's probability, mean over classes, 15 bins (Kull et al. 2019)"
    ),
    "mce": Score("MCE", "%", "largest gap of the 15 bins (Naeini et al. 2015)"),
    "rmsce": Score("RMS-CE", "%", "root mean squared gap, 15 bins (Kumar et al. 2019)"),
    "oe": Score(
        "OE", "%", "overconfidence: gaps of confidence above accuracy times confidence (Thulasidasan et al. 2019)"
    ),
    "ue": Score("UE", "%", "underconfidence: gaps of accuracy above confidence, times confidence"),
    "oe_plain": Score("OE, plain", "%", "overconfidence without that factor; plain OE + plain UE = ECE"),
    "ue_plain": Score("UE, plain", "%", "underconfidence without that factor"),
    "nll": Score("NLL", "", "negative log-likelihood in nats", math.inf),
    "brier": Score("Brier", "", "squared distance to the one-hot label, summed over classes (Brier 1950)", 2),
    "aurc": Score("AURC", "%", "error averaged over all coverages, most confident first (Geifman and El-Yaniv 2017)"),
}


def formatted(name: str, value: float) -> str:
    """`value` with as many digits as differences are worth looking at: 2 in percent, 3 else."""
    return f"{value:.2f}" if SCORES[name].unit == "%" else f"{value:.3f}"
