"""What generated images add to a step of training on labels: time of the step, and how fast they are read.

    python benchmarks/augmented.py [--model wrn-28-2] [--labelled 64] [--per-image 2] [--rounds 5] [--processor]

Ours alone, for no other trainer has a second stream of images: pipeline/train.py's own loop with its loader, learning
from labels, without generated images and with --per-image for each labelled one, in a pass of their own and in one pass
with the views. A step then learns 1 + N times the images, and takes as many times as long if it is nothing but its
images. The rate is that of the second stream read alone: order, decoding, weak views. Data are smooth noise. Each
contender is a process; they take turns, figures are medians. --processor counts processor seconds of all threads. The
last line is one JSON object:
  separate_x, joint_x   time of a step with generated images over that of a step without, by augmented.forward
  images_x              images of a step with over those of a step without
  images_per_second     of the second stream, generated images read and cut
"""

import argparse
import contextlib
import io
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from itertools import combinations, islice
from pathlib import Path

import numpy as np
import ours
import torch
from contender import Contender
from mixup import Turn, measure, step_parser
from PIL import Image

from dataprep.make_beton import main as make_beton
from pipeline import distributed
from pipeline.data.batches import TrainImages
from pipeline.data.dataset import open_dataset

CUDA = torch.cuda.is_available()
PLACES = 8
GENERATED = "images-csm"
FIXED = (
    "algorithm=supervised",
    "precision=fp32",
    "log_every=1000000",
    "eval_every=1000000",
    "checkpoint_every=1000000",
)
WITH = (f"augmented.dataset={GENERATED}", "augmented.labels=ratio")
FORWARDS = ("separate", "joint")


def make_groups(data: Path, source: Path, size: int) -> None:
    """DATA/images-csm: a group of noise between any two classes."""
    random = np.random.RandomState(1)
    for a, b in combinations(range(ours.CLASSES), 2):
        folder = source / f"{a}_{b}" / "0"
        folder.mkdir(parents=True)
        for place in range(PLACES):
            small = Image.fromarray(random.randint(0, 256, (8, 8, 3), dtype=np.uint8))
            small.resize((size, size), Image.Resampling.BICUBIC).save(folder / f"{place}.png")
    words = ["groups", "--source", str(source), "--of", ours.NAME, "--name", GENERATED, "--out", str(data)]
    with contextlib.redirect_stdout(io.StringIO()):
        code = make_beton(words)
    if code:
        raise SystemExit(code)


def start(stack: ExitStack, args: argparse.Namespace, settings: list[str], scratch: Path) -> list[Turn]:
    """A contender without generated images and one for each way to forward them."""
    more = [*WITH, f"augmented.per_image={args.per_image}"]
    chosen = {"without": [], **{name: [*more, f"augmented.forward={name}"] for name in FORWARDS}}
    turns: list[Turn] = []
    for name, sets in chosen.items():
        child = stack.enter_context(Contender("step_side.py"))
        child.ask("train", settings=[*settings, *sets], out=str(scratch / f"run-{name}"))
        turns.append((name, child, "loader", {"processor": args.processor}))
    return turns


def reading_rate(settings: list[str], per_image: int, batches: int) -> float:
    """Generated images a second of their stream alone, after some batches; wall time."""
    run = ours.open_run([*settings, *WITH, f"augmented.per_image={per_image}"])
    try:
        files = {"augmented": run.sources["augmented"]}
        how, size = run.train_images.files[0].how, open_dataset(run.config).image_size
        stream = TrainImages(files, size, how, run.config.seed, len(os.sched_getaffinity(0)))
        reading = stream.batches(0, 4 + batches)
        first = next(islice(reading, 3, None))
        began = time.perf_counter()
        count = sum(len(batch.parts["augmented"].weak) for batch in reading)
        assert count == batches * len(first.parts["augmented"].weak)
        return count / (time.perf_counter() - began)
    finally:
        distributed.stop()


def report(spent: dict[str, list[float]], args: argparse.Namespace, rate: float) -> dict[str, float]:
    """Prints a line each; what the last line holds."""
    medians = {what: statistics.median(seconds) for what, seconds in spent.items()}
    for what, seconds in spent.items():
        images = args.labelled * (1 if what == "without" else 1 + args.per_image)
        low, high = min(seconds) * 1e3, max(seconds) * 1e3
        rate_of_step = f"{images / medians[what]:9,.0f} images/s"
        print(f"  {what:10} {medians[what] * 1e3:8.1f} ms ({low:.1f} to {high:.1f}) {rate_of_step}")
    print(f"  second stream alone: {rate:,.0f} images/s")
    ratios = {f"{name}_x": medians[name] / medians["without"] for name in FORWARDS}
    return {**ratios, "images_x": 1.0 + args.per_image, "images_per_second": rate}


def main() -> int:
    parser = step_parser(__doc__, "wrn-28-2", 64)
    parser.add_argument("--per-image", type=int, default=2, help="generated images for each (default 2)")
    args = parser.parse_args()
    print(f"Python {platform.python_version()}, torch {torch.__version__}, {len(os.sched_getaffinity(0))} cores")
    print(f"{args.model}, {args.labelled} labelled images, {args.per_image} generated ones each, {args.size} px:")
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        scratch = Path(name)
        shape = "--image-size", str(args.size), "--stored-size", str(args.size)
        data = ours.noise(scratch, "data", args.labelled // ours.CLASSES + 10, args.size, *shape)
        make_groups(scratch / "data", scratch / "groups", args.size)
        settings = [*data, *FIXED, f"model.name={args.model}", f"batch.labelled={args.labelled}"]
        turns = start(stack, args, settings, scratch)
        spent = measure(turns, args.rounds, args.steps or (20 if CUDA else 2))
        result = report(spent, args, reading_rate(settings, args.per_image, 200))
    print(json.dumps({key: round(value, 3) for key, value in result.items()}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
