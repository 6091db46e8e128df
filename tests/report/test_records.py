"""report.json: its keys are a contract with whoever reads it."""

import json
from dataclasses import replace

from pipeline.report.glossary import SCORES
from pipeline.report.records import Detection, OodReport, PostHocReport, PostHocResult, WalkPoint, report_json
from tests.support.report_records import difference_report, report_of, run_report


def test_report_json_has_these_keys_in_this_order() -> None:
    post_hoc = PostHocReport(
        source="a share",
        fitted_on=10,
        scored_on=40,
        methods={"none": PostHocResult("", {"ece": 5.0}), "temperature": PostHocResult("T = 2", {"ece": 1.0})},
    )
    detected = OodReport(num_images=7, detection={"energy": Detection(auroc=90.0, fpr95=20.0)})
    point = WalkPoint(mu=0.01, accuracy=90.0, confidence=80.0, entropy=0.5)
    run = replace(
        run_report(), post_hoc=post_hoc, ood={"svhn": detected}, ood_scaled={"svhn": detected}, walks={"": [point]}
    )
    text = report_json(report_of(run, run_report("b"), differences=(difference_report(-1.5, -2, -1),)))
    content = json.loads(text)
    assert list(content) == ["version", "draws", "floor_draws", "seed", "runs", "differences", "figures"]
    first, second = content["runs"]
    assert list(first) == list(second) == [
        "name", "path", "weights", "step", "num_samples", "num_classes", "ece_bins", "scores", "ece_by_bins",
        "post_hoc", "ood", "ood_scaled", "walks", "note", "acting", "piece",
    ]  # fmt: skip
    assert list(first["scores"]) == list(SCORES)
    assert first["scores"]["ece"] == {"value": 5.0, "low": 4.0, "high": 6.0, "floor": 1.0, "floor_high": 2.0}
    assert first["ece_by_bins"] == {"10": 5.0, "15": 6.0}
    assert first["post_hoc"] == {
        "source": "a share",
        "fitted_on": 10,
        "scored_on": 40,
        "methods": {"none": {"fitted": "", "ece": 5.0}, "temperature": {"fitted": "T = 2", "ece": 1.0}},
    }
    assert first["ood"] == first["ood_scaled"] == {"svhn": {"num_images": 7, "energy": {"auroc": 90.0, "fpr95": 20.0}}}
    assert first["walks"] == {"": [{"mu": 0.01, "accuracy": 90.0, "confidence": 80.0, "entropy": 0.5}]}
    assert first["acting"] == {"selective": {"50": 99.0, "100": 95.0}, "calibrated_on": "", "accept": [], "sets": []}
    assert second["post_hoc"] is None and second["ood"] == {}
    (change,) = content["differences"]
    assert (change["from"], change["to"]) == ("a", "b") and text.startswith('{\n "version"')
    assert change["scores"]["ece"] == {"difference": -1.5, "low": -2, "high": -1}
