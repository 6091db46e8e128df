"""Is it fast: the step eager and compiled beside its floor, the loader beside what the step takes, memory."""

import shutil
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import ours
from contender import Contender

from gpu_check.runs import Failed, Place

NEVER = [f"{name}_every=1000000" for name in ("log", "eval", "checkpoint")]
MIXED = ["mix=calibratemix", "warmup_steps=0"]
GIB = 2**30


@dataclass(frozen=True)
class Measured:
    """Seconds a step of batches from memory, with the loader, and of the floor; seconds that kernels run in a step."""

    memory: float
    loader: float
    floor: float
    kernels: float
    about: dict[str, Any]


def small_images(place: Place) -> list[str]:
    """Noise of 32 px, made on first use; the options that choose it."""
    return ours.noise(place.scratch, "small", place.size(200, 8), 32)


def photos(place: Place) -> list[str]:
    """Noise of 256 px as JPEG, used at 224."""
    return ours.noise(place.scratch, "photos", place.size(60, 8), 256, "--image-size", "224", "--stored-size", "256")


def step(place: Place) -> list[str]:
    """WRN-28-2 at 64 + 448, eager: rate, share of the time in which the GPU has nothing to do, floor, arithmetic."""
    plain, mixed = (measure(place, small(place, *sets)) for sets in ((), MIXED))
    busy = f"the GPU waits {100 * max(0.0, 1 - mixed.kernels / mixed.memory):.0f}% of the time"
    return [
        f"FixMatch {1 / plain.memory:.1f} steps/s",
        f"CalibrateMix {1 / mixed.memory:.1f} steps/s (+{100 * (mixed.memory / plain.memory - 1):.0f}% time)",
        f"with loader {1 / mixed.loader:.1f} steps/s",
        *([busy] if mixed.kernels else []),
        f"floor_x {plain.memory / plain.floor:.2f}",
        f"{plain.about['flops'] / plain.memory / 1e12:.3g} TFLOP/s of the learn pass in {plain.about['precision']}",
        f"{512 / plain.memory:,.0f} images/s" if place.gpus else "tiny sizes",
        *([f"peak {mixed.about['memory'] / GIB:.1f} GiB"] if place.gpus else []),
    ]


def compiled(place: Place) -> list[str]:
    """The same under torch.compile and as CUDA graphs."""
    if not place.gpus and not shutil.which("g++"):
        return ["no C++ compiler here"]
    said = []
    for mode in place.size(("default", "reduce-overhead"), ("default",)):
        found = measure(place, small(place, *MIXED, f"compile={mode}"))
        said.append(f"compile={mode} {1 / found.memory:.1f} steps/s")
    return said


def loader(place: Place) -> list[str]:
    """Pairs of views a second from betons beside what a step takes; Failed where the step would starve."""
    labelled = place.size(64, 4)
    needed = 7 * labelled / measure(place, small(place, *MIXED), rounds=1).memory
    with _contender(place, "loader_side.py") as child:
        child.ask("open_ours", settings=[*small_images(place), f"batch.labelled={labelled}"])
        rate = child.ask("rate", name="uint8", seconds=place.size(4, 0.5))
    said = f"32 px: {rate:,.0f} pairs/s loaded, a step takes {needed:,.0f}"
    if rate < needed:
        raise Failed(f"{said}: the GPU waits for images; give the run more CPU cores")
    return [said]


def photo_step(place: Place) -> list[str]:
    """ResNet-50 at 224 px, as many images as the memory allows: rate, memory, and what the loader must give."""
    labelled = labelled_photos(place)
    sets = [*photos(place), *NEVER, f"batch.labelled={labelled}", *MIXED]
    network = place.size("resnet-50", "wrn-10-1")
    found = measure(place, [*sets, f"model.name={network}", "model.norm_momentum=0.1"], rounds=1)
    wait = 100 * (1 - found.memory / found.loader)
    return [
        f"{network} {labelled} + {7 * labelled}: {1 / found.memory:.2f} steps/s",
        f"{7 * labelled / found.memory:,.0f} pairs/s from memory, {7 * labelled / found.loader:,.0f} with the loader",
        f"waits for images {max(0.0, wait):.0f}%",
        *([f"peak {found.about['memory'] / GIB:.1f} GiB"] if place.gpus else []),
    ]


def labelled_photos(place: Place) -> int:
    """Of a batch that fits: 1,024 photos with their activations take some 60 GiB in bfloat16."""
    if not place.gpus:
        return 2
    import torch

    gigabytes = torch.cuda.get_device_properties(0).total_memory / GIB
    return next((size for size in (64, 32, 16, 8) if gigabytes > 1.2 * size), 4)


def measure(place: Place, settings: Sequence[str], rounds: int = 2) -> Measured:
    """A step of these options, in a process of its own. The first round warms up and does not count."""
    steps = place.size(30, 1)
    with _contender(place, "step_side.py") as child:
        number = len(list(place.scratch.glob("speed-*")))
        child.ask("train", settings=list(settings), out=str(place.scratch / f"speed-{number}"))
        actions = ("memory", "loader", "floor")
        spent: dict[str, list[float]] = {action: [] for action in actions}
        for turn in range(-1, rounds):
            for action in actions:
                seconds = child.ask(action, steps=steps)
                spent[action] += seconds if turn >= 0 else []
        kernels = child.ask("kernels", steps=steps) if place.gpus else [0.0]
        medians = {action: statistics.median(seconds) for action, seconds in spent.items()}
        return Measured(**medians, kernels=kernels[0], about=child.ask("about"))


def small(place: Place, *sets: str) -> list[str]:
    """WRN-28-2 on the small images; without a GPU a tiny one."""
    labelled, network = place.size((64, "wrn-28-2"), (4, "wrn-10-1"))
    return [*small_images(place), *NEVER, f"batch.labelled={labelled}", f"model.name={network}", *sets]


def _contender(place: Place, script: str) -> Contender:
    return Contender(script) if place.gpus else Contender(script, CUDA_VISIBLE_DEVICES="")
