"""Records of a report with chosen numbers."""

from dataclasses import replace

from pipeline.report.glossary import SCORES
from pipeline.report.options import ResamplingConfig
from pipeline.report.records import ActingReport, DifferenceReport, Report, RunReport, ScoreDifference, ScoreEstimate


def run_report(
    name: str = "a", ece: float = 5.0, high: float = 2.0, over: float = 5.0, under: float = 0.0, note: str = ""
) -> RunReport:
    """A run whose scores are all `ece`, with their floor, and over- and underconfidence of `over` and `under`."""
    score = ScoreEstimate(value=ece, low=ece - 1, high=ece + 1, floor=high / 2, floor_high=high)
    return RunReport(
        name=name,
        path=f"/runs/{name}",
        weights="ema",
        step=3000,
        num_samples=1234,
        num_classes=10,
        ece_bins=10,
        scores={
            **dict.fromkeys(SCORES, score),
            "oe_plain": replace(score, value=over),
            "ue_plain": replace(score, value=under),
        },
        ece_by_bins={10: ece, 15: ece + 1},
        post_hoc=None,
        ood={},
        ood_scaled={},
        walks={},
        note=note,
        acting=ActingReport(selective={50: 99.0, 100: 95.0}, calibrated_on="", accept=(), sets=()),
    )


def difference_report(value: float, low: float, high: float) -> DifferenceReport:
    """All scores of b are `value` above those of a."""
    score = ScoreDifference(difference=value, low=low, high=high)
    return DifferenceReport(first="a", other="b", scores=dict.fromkeys(SCORES, score))


def report_of(*runs: RunReport, differences: tuple[DifferenceReport, ...] = ()) -> Report:
    return Report(version="1", resampling=ResamplingConfig(), runs=runs, differences=differences, figures=())
