"""Predicts images with the network of a run: classes with calibrated confidences, accepted or for review, as a list.

    python pipeline/predict.py RUN photos/ more.tar one.jpg --accept 0.98      # predictions.csv
    python pipeline/predict.py RUN --pool                                      # the unlabelled images of the run

IMAGES are files, folders, tars and zips. An interrupted job goes on with the same command. Exit code: 0, 1 where some
images could not be read (predictions.rejected.csv lists them) or the system failed, 2 for a mistake, 130 after Ctrl-C.
"""

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from dataprep.console import note, plural
from dataprep.workers import WorkerDied
from pipeline.prediction.options import PredictOptions
from pipeline.runs.host_tuning import cores

KEPT = "what is done is kept, and the same command goes on from it"


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code; a mistake is one line on stderr."""
    options = _options(_parser().parse_args(arguments))
    work = options.out.with_name(f".{options.out.name}.tars")
    try:
        shutil.rmtree(work, ignore_errors=True)  # what a killed job left
        return _run(options, work)
    except ValueError as error:
        return _fail(2, str(error))
    except (OSError, WorkerDied) as error:
        return _fail(1, f"{error}; {KEPT}" if isinstance(error, OSError) else str(error))
    except KeyboardInterrupt:
        return _fail(130, f"interrupted; {KEPT}")
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _run(options: PredictOptions, work: Path) -> int:
    from pipeline.prediction.request import read_request

    request = read_request(options, work)
    for line in (*(request.listed.notes if request.listed else ()), *request.decisions.notes):
        note(line)
    from pipeline.prediction.job import predict  # torch and FFCV, which no mistake found above has to wait for

    done = predict(options, request.listed, request.decisions, request.weights)
    decisions = request.decisions
    scaled = f"T = {decisions.temperature:.3f}" if decisions.temperature != 1 else "not calibrated"
    print(f"predictions: {options.out} ({plural(done.predicted, 'image')}, {options.precision}, {scaled})")
    if decisions.accept:
        share = done.accepted / max(done.predicted, 1)
        print(f"accepted: {done.accepted:,} ({share:.1%}), promised right in {decisions.accept.precision:.0%}")
    if done.rejected:
        rejected = options.out.with_name(f"{options.out.stem}.rejected.csv")
        print(f"not readable: {plural(done.rejected, 'image')}, listed in {rejected}")
    return 1 if done.rejected else 0


def _fail(code: int, message: str) -> int:
    print(f"predict.py: {message}", file=sys.stderr)
    return code


def _options(given: argparse.Namespace) -> PredictOptions:
    several = {"images": tuple(given.images), "probability_of": tuple(given.probability_of)}
    return PredictOptions(**{**vars(given), **several})


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="predict.py", description="Predict images with the network of a run.")
    parser.add_argument("run", type=Path, metavar="RUN", help="a run folder written by pipeline/train.py")
    parser.add_argument("images", nargs="*", type=Path, metavar="IMAGES", help="files, folders, tars or zips of images")
    parser.add_argument("--pool", action="store_true", help="the unlabelled images that the run was trained on")
    parser.add_argument(
        "--out", type=Path, default=Path("predictions.csv"), help="list to write (default: predictions.csv)"
    )
    _add_confidence_options(parser)
    _add_network_options(parser)
    parser.add_argument(
        "--workers", type=int, default=cores(), metavar="N", help="processes that decode images (default: one a core)"
    )
    parser.add_argument(
        "--batch", type=int, metavar="N", help="images that the network gets at a time (default: the run's eval_batch)"
    )
    return parser


def _add_confidence_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--raw", action="store_true", help="the network's own confidences, without the temperature of calibration.json"
    )
    parser.add_argument(
        "--accept",
        type=float,
        metavar="PRECISION",
        help="mark each row accept or review: accepted ones are right in this share (0.95, 0.98 ...), with 95%% "
        "confidence",
    )
    parser.add_argument(
        "--sets",
        choices=("lac", "aps"),
        help="add the classes of a prediction set: lac, the smallest on average, or aps, larger for harder images",
    )
    parser.add_argument(
        "--probability-of",
        nargs="+",
        default=[],
        metavar="CLASS",
        help="add a column with the probability of each of these classes, however small",
    )
    parser.add_argument(
        "--coverage", type=float, default=0.9, help="share of the sets that hold the right class (default: 0.9)"
    )


def _add_network_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--precision", choices=("fp32", "bf16"), default="fp32", help="number format (default: fp32, as evaluate.py)"
    )
    parser.add_argument(
        "--weights",
        choices=("ema", "raw", "selected"),
        help="weights that predict (default: those that the run was evaluated with)",
    )
    parser.add_argument("--checkpoint", type=int, metavar="STEP", help="predict with this checkpoint (default: newest)")
    parser.add_argument("--data", help="folder that holds the run's data set, if it has moved since training")


if __name__ == "__main__":
    sys.exit(main())
