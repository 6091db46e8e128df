"""Exports the network of a finished run for other programs: ONNX, safetensors, preprocessing, labels, a model card.

    python pipeline/export.py RUN --to DIR [--temperature inside|outside|none] [--weights ema|raw|selected]

Needs the packages of `pip install 'calibratemix[export]'`. DIR is written whole or not at all.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from pipeline.shipping.request import TEMPERATURES, ExportRequest, check_request


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code: 0, or 2 after one line on stderr about the user's mistake."""
    given = _parser().parse_args(arguments)
    try:
        asked = check_request(ExportRequest(**vars(given)))
        from pipeline.shipping.package import write_package  # torch, which no mistake found above has to wait for

        shipped = write_package(asked)
    except (ValueError, OSError) as error:  # an OSError, such as a full disk, names its file
        print(f"export.py: {error}", file=sys.stderr)
        return 2
    for note in asked.notes:
        print(f"note: {note}")
    print(
        f"onnxruntime against torch on {shipped.num_compared} test images: largest difference of a probability "
        f"{shipped.difference:.1e}"
    )
    print(f"exported: {given.to}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="export.py", description="Export the network of a finished run.")
    parser.add_argument("run", type=Path, metavar="RUN", help="a run folder written by pipeline/train.py")
    parser.add_argument("--to", type=Path, required=True, metavar="DIR", help="folder to write, which is not there yet")
    parser.add_argument(
        "--temperature",
        choices=TEMPERATURES,
        help="inside: model.onnx divides the logits by the temperature that evaluate.py fitted, then softmax; outside: "
        "it answers logits, and preprocess.json has the temperature; none: softmax alone (default: inside where "
        "evaluate.py fitted one to these weights)",
    )
    parser.add_argument(
        "--weights",
        choices=("ema", "raw", "selected"),
        help="weights to export (default: those that the run was evaluated with)",
    )
    parser.add_argument("--data", help="folder that holds the run's data set, if it has moved since training")
    parser.add_argument(
        "--images", type=_positive, default=500, metavar="N", help="test images to compare on (default: 500)"
    )
    return parser


def _positive(text: str) -> int:
    if (number := int(text)) < 1:
        raise ValueError
    return number


if __name__ == "__main__":
    sys.exit(main())
