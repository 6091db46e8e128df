"""What can be checked before torch is imported: the run, what it was calibrated with, and that there are images."""

from dataclasses import dataclass
from pathlib import Path

from pipeline.prediction.decisions import Decisions, decide
from pipeline.prediction.listing import Listed, list_images
from pipeline.prediction.options import PredictOptions
from pipeline.report.checkpoints import SELECTED, check_selected, choose_checkpoint
from pipeline.report.verified_predictions import read_settings
from pipeline.runs.files import read_json
from pipeline.runs.read import is_finished, read_status


@dataclass(frozen=True)
class Request:
    """`weights` of the run and what was decided of its confidences; `listed`: the images, None for the pool."""

    weights: str
    decisions: Decisions
    listed: Listed | None


def read_request(options: PredictOptions, work: Path) -> Request:
    """ValueError naming the option or file, and the remedy. Compressed tars are decompressed into the folder `work`."""
    _check_options(options)
    _check_run(options)
    weights = options.weights or read_settings(options.run).weights
    listed = None if options.pool else list_images(options.images, work)
    return Request(weights, decide(options, weights, _step(options, weights)), listed)


def _check_options(options: PredictOptions) -> None:
    if options.pool == bool(options.images):
        raise ValueError("name images, folders or tars of images, or give --pool: exactly one of the two")
    if options.workers < 1 or (options.batch is not None and options.batch < 1):
        raise ValueError("--workers and --batch must be at least 1")
    if options.out.suffix != ".csv":
        raise ValueError(f"--out {options.out}: the list is a .csv; give it such a name")
    if not options.out.parent.is_dir() or options.out.is_dir():
        raise ValueError(f"--out {options.out}: is no file in a folder that exists; choose another --out")


def _check_run(options: PredictOptions) -> None:
    """A finished run, or a checkpoint that is asked for by its step."""
    run = options.run
    if not (run / "config.yaml").is_file():
        raise ValueError(f"{run}: no run folder: it holds no config.yaml; give the folder that train.py wrote")
    if not is_finished(run) and options.checkpoint is None:
        at = read_status(run)
        raise ValueError(
            f"{run}: the run has not finished (step {at.step} of {at.steps}); start it again to resume it, or name one "
            "of its checkpoints with --checkpoint STEP"
        )
    choose_checkpoint(run, options.checkpoint)
    if options.weights == SELECTED:
        check_selected(run, options.checkpoint)


def _step(options: PredictOptions, weights: str) -> int | None:
    """Of the weights that will predict."""
    if weights == SELECTED:
        step = (read_json(options.run / "result.json").get("selected") or {}).get("step")
        return step if isinstance(step, int) else None
    return choose_checkpoint(options.run, options.checkpoint)[1]
