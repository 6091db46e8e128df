"""How fast a training step is, beside the peer's (semilearn, peer.py) and beside the floor: the learn pass alone.

    python benchmarks/step.py [--labelled 16] [--rounds 7] [--model wrn-28-2] [--size 32] [--peak-tflops 989]
    python benchmarks/step.py --without-peer          # no package index needed

Ours is pipeline/train.py's own loop (observe, pair, learn, optimizer, EMA, sums for the log) over batches held in
memory; the peer's is its own FixMatch loop body with its hooks (one pass over all views, SGD, its EMA) over a held
batch. The floor is forward and backward of [labelled, strong] by our network in the same precision and layout, nothing
else. Each contender is a process; they take turns, the figures are medians over all rounds. All use every core, or the
GPU: there a turn is one run of --steps steps, waited for at its end alone, and the others hold no activations.
The last line is one JSON object:
  fp32_x            how many times faster ours in float32 is than the peer, in float32 too (NCHW); on a GPU the peer's
                    TF32 is turned off for it
  tf32_x            on a GPU: ours with precision=tf32 beside the peer as it comes, with TF32 convolutions
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
CUDA = torch.cuda.is_available()
OURS = {
    "fp32": ["precision=fp32"],
    **({"tf32": ["precision=tf32"]} if CUDA else {}),
    "default": [],
    "mix": ["mix=calibratemix", "warmup_steps=0"],
    "observe": ["forward=observe"],
}
# Options of the peer. As it comes it is in NCHW and, on a GPU, convolves in TF32, torch's default.
THEIRS = {
    "peer": {"channels_last": False, "tf32": True},
    "peer_cl": {"channels_last": True, "tf32": True},
    **({"peer_fp32": {"channels_last": False, "tf32": False}} if CUDA else {}),
}
RATIO = 7
# What is timed where the contender takes part: name, contender, action. All steps but the floors', which are a forward
# and a backward pass.
TURNS = (
    ("peer", "peer", "seconds"),
    ("peer, channels_last", "peer_cl", "seconds"),
    ("peer, TF32 off", "peer_fp32", "seconds"),
    ("ours, fp32", "fp32", "memory"),
    ("ours, tf32", "tf32", "memory"),
    ("floor, fp32", "fp32", "floor"),
    ("ours", "default", "memory"),
    ("ours, with loader", "default", "loader"),
    ("floor", "default", "floor"),
    ("ours, CalibrateMix", "mix", "memory"),
    ("ours, observe", "observe", "memory"),
)
# Times whose ratio is told: of the first two that were both measured.
RATIOS = (
    ("fp32_x", "peer, TF32 off", "ours, fp32"),
    ("fp32_x", "peer", "ours, fp32"),
    ("tf32_x", "peer", "ours, tf32"),
    ("default_x", "peer", "ours"),
    ("floor_x", "ours", "floor"),
    ("mix_cost_percent", "ours, CalibrateMix", "ours"),
    ("observe_x", "ours", "ours, observe"),
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
        release(child)
    for name, format in {} if args.without_peer else THEIRS.items():
        child = stack.enter_context(Contender("peer_side.py", peer.python()))
        options = {"labelled": args.labelled, "ratio": RATIO, "size": args.size, "num_classes": ours.CLASSES}
        child.ask("hold", **options, **format, net=PEERS[args.model])
        started[name] = child
        release(child)
    return started


def release(child: Contender) -> None:
    """Gives what it does not hold back to the GPU: 1,000 photos of activations are a GPU's whole memory."""
    if CUDA:
        child.ask("release")


def measure(children: dict[str, Contender], args: argparse.Namespace) -> dict[str, list[float]]:
    turns = [turn for turn in TURNS if turn[1] in children]
    spent: dict[str, list[float]] = {name: [] for name, _, _ in turns}
    for turn in range(-1, args.rounds):  # the first warms up
        for name, child, action in turns:
            seconds = children[child].ask(action, steps=args.steps)
            release(children[child])
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
    return ratios(medians)


def ratios(medians: dict[str, float]) -> dict[str, float]:
    """RATIOS of what was measured; a cost in percent is what the first adds to the second."""
    found: dict[str, float] = {}
    for key, one, other in RATIOS:
        if one in medians and other in medians and key not in found:
            ratio = medians[one] / medians[other]
            found[key] = 100 * (ratio - 1) if key.endswith("percent") else ratio
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--labelled", type=int, default=16, help="labelled images a step, 7 unlabelled each (default 16)")
    add("--rounds", type=int, default=7, help="turns of each contender (default 7)")
    add("--steps", type=int, help="steps a turn (default 2, on CUDA 20)")
    add("--model", choices=list(PEERS), default="wrn-28-2")
    add("--size", type=int, default=32, help="side of the images (default 32)")
    add("--without-peer", action="store_true", help="ours and its floor alone")
    add("--peak-tflops", type=float, help="of the device in the default precision, for the utilisation")
    args = parser.parse_args()
    args.steps = args.steps or (20 if CUDA else 2)
    try:
        _ = args.without_peer or peer.python()
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
