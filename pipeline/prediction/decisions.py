"""What is done with confidences: temperature, threshold and quantile, as a run's calibration.json has them."""

from dataclasses import dataclass

from pipeline.prediction.options import PredictOptions
from pipeline.runs.calibration_file import Acceptance, Calibration, Guarantees, read_calibration


@dataclass(frozen=True)
class Decisions:
    """`temperature`: divides logits, 1 for none. `accept`: the threshold asked for, or that there is none.

    `bound`: the largest score of a class in a prediction set; infinite for all classes. `notes`: lines for the user.
    """

    temperature: float
    accept: Acceptance | None = None
    sets: str | None = None
    bound: float = float("inf")
    notes: tuple[str, ...] = ()


def decide(options: PredictOptions, weights: str, step: int | None) -> Decisions:
    """As the options ask, from the calibration of this network. ValueError where it cannot say what they ask for."""
    calibration = read_calibration(options.run)
    known = calibration if calibration and calibration.is_of(weights, step) else None
    if options.accept is None and options.sets is None:
        return _confidences(options, calibration, known)
    asked = f"--accept {options.accept:g}" if options.accept is not None else f"--sets {options.sets}"
    if options.raw:
        raise ValueError(f"{asked}: holds for calibrated confidences; leave --raw out")
    if known is None:
        raise ValueError(f"{asked}: {_lacking(options, calibration)}, or leave it out")
    found = _guarantees(options, known, asked)
    accept = _acceptance(found, options.accept) if options.accept is not None else None
    return Decisions(
        temperature=known.temperature,
        accept=accept,
        sets=options.sets,
        bound=_bound(found, options.sets, options.coverage) if options.sets else float("inf"),
        notes=tuple(_notes(accept, found)) + _half_precision(options),
    )


def _confidences(options: PredictOptions, calibration: Calibration | None, known: Calibration | None) -> Decisions:
    if options.raw:
        return Decisions(1.0)
    if known is None:
        return Decisions(1.0, notes=(f"confidences are the network's own: {_lacking(options, calibration)}",))
    return Decisions(known.temperature)


def _lacking(options: PredictOptions, calibration: Calibration | None) -> str:
    """Why there is no calibration of this network, and what makes one."""
    chosen = (f" --weights {options.weights}" if options.weights else "") + (
        f" --checkpoint {options.checkpoint}" if options.checkpoint is not None else ""
    )
    remedy = f"fit a temperature with python pipeline/evaluate.py {options.run}{chosen}"
    if calibration is None:
        return f"{options.run} has no calibration.json; {remedy}"
    return f"calibration.json is of the {calibration.weights} weights of step {calibration.step}; {remedy}"


def _guarantees(options: PredictOptions, known: Calibration, asked: str) -> Guarantees:
    """Of new images, or of the pool, whose images the network has learned from."""
    if not options.pool:
        return known.images
    if known.pool is None:
        raise ValueError(
            f"{asked} --pool: the network was trained on the pool, and no labelled image went the same way to tell how "
            "far to trust it there; train with validation=N unlabelled.include_validation=true and evaluate again"
        )
    return known.pool


def _acceptance(found: Guarantees, precision: float) -> Acceptance:
    for each in found.accept:
        if each.precision == precision:
            return each
    known = ", ".join(f"{each.precision:g}" for each in found.accept)
    raise ValueError(f"--accept {precision:g}: calibration.json has thresholds for {known}; choose one of these")


def _bound(found: Guarantees, method: str, coverage: float) -> float:
    quantiles = found.conformal[method]
    name = f"{coverage:.2f}"
    if name not in quantiles or abs(float(name) - coverage) > 1e-9:
        raise ValueError(
            f"--coverage {coverage:g}: calibration.json has whole percents from {min(quantiles)} to {max(quantiles)}"
        )
    bound = quantiles[name]
    return float("inf") if bound is None else bound


def _notes(accept: Acceptance | None, found: Guarantees) -> list[str]:
    if accept is None or accept.threshold is not None:
        return []
    why = f"{accept.wrong} of the {accept.accepted} most confident of {found.num_images} calibration images are wrong"
    needed = accept.labels_needed
    more = f"about {needed} labelled images are needed" if needed else "too many for any number of labelled images"
    return [f"no threshold is shown to be right in {accept.precision:.0%}, so every row is for review: {why}; {more}"]


def _half_precision(options: PredictOptions) -> tuple[str, ...]:
    if options.precision == "fp32":
        return ()
    return (f"thresholds and quantiles were found in fp32; --precision {options.precision} may shift confidences",)
