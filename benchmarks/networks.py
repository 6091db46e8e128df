"""Does every network train? Five steps of each at its literature's image size, on two ranks: a row each.

    python benchmarks/networks.py                        # all, in some minutes on 2 cores; 5 GB of memory
    python benchmarks/networks.py --only vgg-16 swin-v2-t --batch 8

Manifold mixup after the first two stages, by the loop of pipeline/train.py over images made here, in float32. On CUDA
each rank has a GPU of its own (--ranks 1 where there is one). Exit code 1 where a loss is not finite, a rank disagrees
with another or no weight moved. Times are of a step after the first, summed over ranks: processor seconds on a CPU,
seconds on a GPU; memory is the most that a rank took. The last line is a JSON object, {network: parameters}.
"""

import argparse
import json
import math
import socket
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import ours
from contender import Contender

NETWORKS = (
    ("wrn-28-2", 32), ("wrn-28-8", 32), ("wrn-37-2", 96), ("wrn-26-10", 32), ("resnet-32", 32), ("preact-18", 32),
    ("preact-34", 32), ("resnet-18", 32), ("resnet-34", 32), ("densenet-121", 32), ("vgg-16", 96), ("resnet-50", 64),
    ("resnet-50", 224), ("resnet-101", 32), ("resnext-101", 224), ("swin-v2-t", 224),
)  # fmt: skip
STEPS = 5
OPTIONS = (
    "algorithm=supervised", "mix=manifold", "mixing.layers=2 1", "precision=fp32", "model.norm_momentum=0.1",
    "optimizer.lr=0.01", f"steps={STEPS + 1}", "log_every=1000", "eval_every=1000", "checkpoint_every=1000",
    "threads=1",
)  # fmt: skip


def settings(scratch: Path, name: str, size: int, batch: int) -> list[str]:
    """Options of a run; images of that size are made once."""
    shape = "--image-size", str(size), "--stored-size", str(size)
    return [
        *ours.noise(scratch, f"noise-{size}", 6, size, *shape),
        *OPTIONS,
        f"model.name={name}",
        f"batch.labelled={batch}",
    ]


def trained(given: list[str], out: Path, ranks: int) -> list[dict[str, Any]]:
    """What each rank says of its steps, each in a process of its own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        common = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(probe.getsockname()[1])}
    common |= {"WORLD_SIZE": str(ranks), "LOCAL_WORLD_SIZE": str(ranks)}
    with ExitStack() as stack:
        places = [{"RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(ranks)]
        children = [stack.enter_context(Contender("networks_side.py", **common, **place)) for place in places]
        for child in children:
            child.tell("train", settings=given, out=str(out))
        return [child.answer() for child in children]


def wrong(found: list[dict[str, Any]]) -> str:
    """What should not be, in a few words; empty where all is well."""
    losses = found[0]["losses"]
    if not all(map(math.isfinite, losses)):
        return "a loss is not finite"
    if any(rank["losses"] != losses or rank["weights"] != found[0]["weights"] for rank in found):
        return "ranks disagree"
    return "" if all(rank["moved"] for rank in found) else "no weight moved"


def row(name: str, size: int, found: list[dict[str, Any]]) -> str:
    """A line of a Markdown table."""
    seconds, memory = sum(rank["seconds"] for rank in found), max(rank["memory"] for rank in found)
    cells = f"`{name}`", size, f"{found[0]['parameters']:,}", f"{seconds:.2f}", memory >> 20
    return f"| {' | '.join(map(str, cells))} |{wrong(found) and ' FAILED: ' + wrong(found)}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--only", nargs="+", choices=sorted({name for name, _ in NETWORKS}), metavar="NAME", help="these alone")
    add("--batch", type=int, default=4, help="images a step, over all ranks (default 4)")
    add("--ranks", type=int, default=2)
    args = parser.parse_args()
    print("| network | px | parameters, 10 classes | s a step | MB a rank |\n|---|--:|--:|--:|--:|")
    counted, failed = {}, False
    with tempfile.TemporaryDirectory() as scratch:
        for name, size in NETWORKS:
            if args.only and name not in args.only:
                continue
            given = settings(Path(scratch), name, size, args.batch)
            found = trained(given, Path(scratch) / f"{name}-{size}", args.ranks)
            print(row(name, size, found), flush=True)
            counted[f"{name}, {size} px"], failed = found[0]["parameters"], failed or bool(wrong(found))
    print(json.dumps(counted))
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
