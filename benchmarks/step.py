"""How fast a training step is, beside the peer's (semilearn, peer.py) and beside the floor: the learn pass alone.

    python benchmarks/step.py [--labelled 16] [--rounds 7] [--model wrn-28-2] [--size 32] [--peak-tflops 989]

Ours is pipeline/train.py's own loop (observe, pair, learn, optimizer, EMA, sums for the log) over batches held in
memory; the peer's is its own FixMatch loop body with its hooks (one pass over all views, SGD, its EMA) over a held
batch. The floor is forward and backward of [labelled, strong] by our network in the same precision and layout, nothing
else. Each contender is a process; they take turns, the figures are medians over all rounds. All use every core, or the
GPU.
The last line is one JSON object:
  fp32_x            how many times faster ours in float32 is than the peer as it comes (float32 too, NCHW)
  default_x         how many times faster ours with default options is than the peer with its own
  floor_x           time of ours with default options over the time of the floor in the same precision, at least 1
  mix_cost_percent  what CalibrateMix adds to the time of FixMatch (it learns 1/8 more images)
  observe_x         time of ours with default options over its time with forward=observe
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
from typing import Any

import ours
import peer
import torch
from contender import Contender

PEERS = {"wrn-28-2": "wrn_28_2", "wrn-28-8": "wrn_28_8", "wrn-37-2": "wrn_var_37_2", "resnet-50": "resnet50"}
OURS = {
    "fp32": ["precision=fp32"],
    "default": [],
    "mix": ["mix=calibratemix", "warmup_steps=0"],
    "observe": ["forward=observe"],
}
RATIO = 7
# What is timed: name, contender, action. All steps but the floors', which are a forward and a backward pass.
TURNS = (
    ("peer", "peer", "seconds"),
    ("peer, channels_last", "peer_cl", "seconds"),
    ("ours, fp32", "fp32", "memory"),
    ("floor, fp32", "fp32", "floor"),
    ("ours", "default", "memory"),
    ("ours, with loader", "default", "loader"),
    ("floor", "default", "floor"),
    ("ours, CalibrateMix", "mix", "memory"),
    ("ours, observe", "observe", "memory"),
)


def start(stack: ExitStack, args: argparse.Namespace, scratch: Path) -> dict[str, Contender]:
    """All contenders, ready for their first timed step."""
    images = ours.write_images(scratch / "source", 10 + args.labelled * RATIO // 8, args.size)
    settings = ours.make_data(images, scratch / "data", "--image-size", str(args.size), "--stored-size", str(args.size))
    settings += [f"batch.labelled={args.labelled}", f"batch.ratio={RATIO}", f"model.name={args.model}"]
    settings += ["log_every=1000000", "eval_every=1000000", "checkpoint_every=1000000"]
    started = {}
    for name, chosen in OURS.items():
        child = stack.enter_context(Contender("step_side.py"))
        child.ask("train", settings=[*settings, *chosen], out=str(scratch / f"run-{name}"))
        started[name] = child
    for name in ("peer", "peer_cl"):
        child = stack.enter_context(Contender("peer_side.py", peer.python()))
        options = {"labelled": args.labelled, "ratio": RATIO, "size": args.size, "num_classes": ours.CLASSES}
        child.ask("hold", **options, net=PEERS[args.model], channels_last=name == "peer_cl")
        started[name] = child
    return started


def measure(children: dict[str, Contender], args: argparse.Namespace) -> dict[str, list[float]]:
    spent: dict[str, list[float]] = {name: [] for name, _, _ in TURNS}
    for turn in range(-1, args.rounds):  # the first warms up
        for name, child, action in TURNS:
            seconds = children[child].ask(action, steps=args.steps)
            spent[name] += seconds if turn >= 0 else []
    return spent


def report(spent: dict[str, list[float]], about: dict[str, Any], args: argparse.Namespace) -> dict[str, float]:
    medians = {name: statistics.median(seconds) for name, seconds in spent.items()}
    views = args.labelled * (1 + RATIO)
    print(f"{args.model}, {args.labelled} + {args.labelled * RATIO} images, default precision {about['precision']}:")
    for name, seconds in spent.items():
        low, high = min(seconds), max(seconds)
        line = f"  {name:20} {medians[name] * 1e3:8.1f} ms ({low * 1e3:.1f} to {high * 1e3:.1f})"
        print(f"{line} {views / medians[name]:9,.0f} images/s")
    print(f"  loader and step: {medians['ours'] / medians['ours, with loader']:.3f} of the step from memory")
    rate = about["flops"] / medians["ours"] / 1e12  # the learn pass alone; what observe computes is not counted
    share = f", {100 * rate / args.peak_tflops:.1f}% of {args.peak_tflops:g}" if args.peak_tflops else ""
    print(f"  model arithmetic of the learn pass in a step: {rate:.2f} TFLOP/s{share} ({about['device']})")
    return {
        "fp32_x": medians["peer"] / medians["ours, fp32"],
        "default_x": medians["peer"] / medians["ours"],
        "floor_x": medians["ours"] / medians["floor"],
        "mix_cost_percent": 100 * (medians["ours, CalibrateMix"] / medians["ours"] - 1),
        "observe_x": medians["ours"] / medians["ours, observe"],
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--labelled", type=int, default=16, help="labelled images a step, 7 unlabelled each (default 16)")
    add("--rounds", type=int, default=7, help="turns of each contender (default 7)")
    add("--steps", type=int, help="steps a turn (default 2, on CUDA 20)")
    add("--model", choices=list(PEERS), default="wrn-28-2")
    add("--size", type=int, default=32, help="side of the images (default 32)")
    add("--peak-tflops", type=float, help="of the device in the default precision, for the utilisation")
    args = parser.parse_args()
    args.steps = args.steps or (20 if torch.cuda.is_available() else 2)
    try:
        peer.python()
    except ValueError as error:
        print(f"step.py: error: {error}", file=sys.stderr)
        return 2
    print(f"Python {platform.python_version()}, torch {torch.__version__}, {len(os.sched_getaffinity(0))} cores")
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        children = start(stack, args, Path(name))
        result = report(measure(children, args), children["default"].ask("about"), args)
    print(json.dumps({key: round(value, 3) for key, value in result.items()}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
