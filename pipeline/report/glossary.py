"""What each score is called, what it means and where it comes from, in the order of the report. Lower is better."""

import math
from typing import NamedTuple


class Score(NamedTuple):
    """A score of `calibration.scores`; `unit` is "%" or "" (`nll`, in nats; `brier`), `maximum` its largest value."""

    title: str
    unit: str
    meaning: str
    maximum: float = 100


SCORES = {
    "error": Score("Error", "%", "share of wrong predictions (top-1)"),
    "ece": Score(
        "ECE",
        "%",
        "expected calibration error: mean gap of confidence and accuracy over {bins} equal bins [lo, hi), as in the "
        "code released with CalibrateMix",
    ),
    "ece15": Score(
        "ECE, 15 bins", "%", "the same over 15 equal bins (lo, hi], as usual in the literature (Guo et al. 2017)"
    ),
    "ace": Score("ACE", "%", "the same over 15 bins that hold equally many samples each (Nguyen and O'Connor 2015)"),
    "ks": Score(
        "KS", "%", "largest gap between cumulative confidence and cumulative accuracy; no bins (Gupta et al. 2021)"
    ),
    "cece": Score(
        "Classwise ECE", "%", "ECE of the probability of each class, averaged over classes; 15 bins (Kull et al. 2019)"
    ),
    "mce": Score("MCE", "%", "maximum calibration error: largest gap among the 15 bins (Naeini et al. 2015)"),
    "rmsce": Score("RMS-CE", "%", "root mean squared gap over 15 bins (Kumar et al. 2019)"),
    "oe": Score(
        "OE",
        "%",
        "overconfidence: gaps where confidence exceeds accuracy, weighted by confidence (Thulasidasan et al. 2019)",
    ),
    "ue": Score("UE", "%", "underconfidence: gaps where accuracy exceeds confidence, weighted by confidence"),
    "oe_plain": Score("OE, plain", "%", "overconfidence without that weight; 15 bins, plain OE + UE = ECE, 15 bins"),
    "ue_plain": Score("UE, plain", "%", "underconfidence without that weight, 15 bins"),
    "nll": Score("NLL", "", "negative log-likelihood in nats", math.inf),
    "brier": Score("Brier", "", "squared distance to the one-hot label, summed over classes (Brier 1950)", 2),
    "aurc": Score(
        "AURC",
        "%",
        "area under the risk-coverage curve: error among the most confident images, averaged over all coverages "
        "(Geifman and El-Yaniv 2017)",
    ),
}


def formatted(name: str, value: float) -> str:
    """`value` with the digits in which differences matter: 2 for percentages, 3 otherwise."""
    return f"{value:.2f}" if SCORES[name].unit == "%" else f"{value:.3f}"
