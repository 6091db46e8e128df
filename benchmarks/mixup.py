"""What mixup adds to a step, here and with torchvision's MixUp and a DataLoader, on one network in float32.

    python benchmarks/mixup.py [--model resnet-18] [--labelled 128] [--rounds 5] [--processor]

Ours is pipeline/train.py's own loop with its loader, moving average and log, learning from labels alone: without a mix,
with mixup, and with manifold mixup after the first or the second stage. The peer is what torchvision's documentation
shows: images in memory, transforms v2 on PIL images, a DataLoader whose collate_fn is MixUp, with SGD and soft
cross-entropy; as it comes (NCHW) and put into channels_last. Its data set hands out arrays as torchvision's CIFAR10.
Each contender is a process; they take turns, figures are medians over all turns. --processor counts processor seconds,
threads and loader workers included, for a machine that others use too; OpenMP then spins no longer there than here, for
waiting is no work. The last line is one JSON object:
  mixup_x                how many times faster a step of ours with mixup is than the peer's as it comes
  channels_last_x        than the peer's in our memory layout
  mixup_cost_percent     what mixup adds to our step without a mix
  manifold_cost_percent  what manifold mixup adds to it
  peer_cost_percent      what MixUp adds to the peer's step without
"""

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

import ours
import torch
from contender import Contender

CUDA = torch.cuda.is_available()
OURS = {
    "plain": ["mix=none"],
    "mixup": ["mix=mixup", "mixing.alpha=0.2"],
    "manifold": ["mix=manifold", "mixing.alpha=2", "mixing.layers=1 2"],
}
THEIRS = {"peer": False, "peer, channels_last": True}
FIXED = ("algorithm=supervised", "labels=4", "precision=fp32", "log_every=1000000", "eval_every=1000000")
RATIOS = (
    ("mixup_x", "peer, MixUp", "ours, mixup"),
    ("channels_last_x", "peer, channels_last, MixUp", "ours, mixup"),
    ("mixup_cost_percent", "ours, mixup", "ours, plain"),
    ("manifold_cost_percent", "ours, manifold", "ours, plain"),
    ("peer_cost_percent", "peer, MixUp", "peer, plain"),
)
Turn = tuple[str, Contender, str, dict[str, object]]  # what, who, the action and its options


def start(stack: ExitStack, args: argparse.Namespace, scratch: Path) -> list[Turn]:
    """All contenders, ready for their first timed step."""
    images = args.labelled // ours.CLASSES + 10
    shape = "--image-size", str(args.size), "--stored-size", str(args.size)
    data = ours.noise(scratch, "data", images, args.size, *shape)
    given = [*data, *FIXED, "checkpoint_every=1000000", f"model.name={args.model}", f"batch.labelled={args.labelled}"]
    turns: list[Turn] = []
    for name, chosen in OURS.items():
        child = stack.enter_context(Contender("step_side.py"))
        child.ask("train", settings=[*given, *chosen], out=str(scratch / f"run-{name}"))
        turns.append((f"ours, {name}", child, "loader", {"processor": args.processor}))
    for name, channels_last in THEIRS.items():
        quiet = {"GOMP_SPINCOUNT": "1000"} if args.processor else {}
        child = stack.enter_context(Contender("torchvision_side.py", **quiet))
        child.ask("hold", model=args.model, batch=args.labelled, size=args.size, channels_last=channels_last)
        for mix in ("plain", "MixUp"):
            turns.append((f"{name}, {mix}", child, "seconds", {"mixes": mix == "MixUp", "processor": args.processor}))
    return turns


def measure(turns: list[Turn], rounds: int, steps: int) -> dict[str, list[float]]:
    """Seconds a step by turn; the first round warms up."""
    spent: dict[str, list[float]] = {what: [] for what, *_ in turns}
    for number in range(-1, rounds):
        for what, child, action, options in turns:
            seconds = child.ask(action, steps=steps, **options)
            if CUDA:
                child.ask("release")
            spent[what] += seconds if number >= 0 else []
    return spent


def report(spent: dict[str, list[float]], labelled: int) -> dict[str, float]:
    """Prints a line each; RATIOS of the medians."""
    medians = {what: statistics.median(seconds) for what, seconds in spent.items()}
    for what, seconds in spent.items():
        low, high = min(seconds) * 1e3, max(seconds) * 1e3
        rate = labelled / medians[what]
        print(f"  {what:27} {medians[what] * 1e3:8.1f} ms ({low:.1f} to {high:.1f}) {rate:9,.0f} images/s")
    found = {key: medians[one] / medians[other] for key, one, other in RATIOS}
    return {key: 100 * (ratio - 1) if key.endswith("percent") else ratio for key, ratio in found.items()}


def step_parser(description: str | None, model: str, labelled: int) -> argparse.ArgumentParser:
    """The options of a benchmark of steps, with these defaults."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--model", default=model, help=f"model.name (default {model})")
    add("--labelled", type=int, default=labelled, help=f"labelled images a step (default {labelled})")
    add("--size", type=int, default=32, help="side of the images (default 32)")
    add("--rounds", type=int, default=5, help="turns of each contender (default 5)")
    add("--steps", type=int, help="steps a turn (default 2, on CUDA 20)")
    add("--processor", action="store_true", help="processor seconds, workers included")
    return parser


def main() -> int:
    args = step_parser(__doc__, "resnet-18", 128).parse_args()
    print(f"Python {platform.python_version()}, torch {torch.__version__}, {len(os.sched_getaffinity(0))} cores")
    print(f"{args.model}, {args.labelled} images of {args.size} px, {'processor' if args.processor else 'wall'} time:")
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        turns = start(stack, args, Path(name))
        result = report(measure(turns, args.rounds, args.steps or (20 if CUDA else 2)), args.labelled)
    print(json.dumps({key: round(value, 3) for key, value in result.items()}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
