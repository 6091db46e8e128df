"""How many GPU-hours a config or a grid takes, from steps that are measured on this machine.

    python benchmarks/gpu_hours.py configs/cifar10.yaml configs/table1.yaml [--steps 30] [--set compile=default]

Each distinct step (network, size of the images, batch, passes, precision, with and without mixing) is run as training
runs it, loader included, over images made on the spot with 10 classes: no data set is needed. A run's time is that of
its steps before and after mixing begins; evaluations and checkpoints are not counted. For a grid the fields to put into
its file are printed too, by which submit.py --dry-run estimates what is left. Without a GPU the hours are this CPU's.
"""

import argparse
import dataclasses
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import ours
from contender import Contender

from pipeline import config as configuration
from pipeline.config.options import LABELLED_ONLY, Config
from slurm.grids import grid
from slurm.grids.grid import Grid

PIXELS = {
    "digits": 32, "cifar10": 32, "cifar100": 32, "svhn": 32, "stl10": 96, "fashion_mnist": 28, "tiny_imagenet": 64,
    "imagenet": 224, "webvision": 224,
}  # fmt: skip
PHOTOS = 224  # of this size and larger are stored larger than they are used
PLACE = {
    "dataset", "data", "out", "labels", "seed", "steps", "epochs", "warmup_steps", "warmup_share", "budget", "threads",
    "log_every", "eval_every", "checkpoint_every", "eval_batch", "profile",
}  # fmt: skip
# Options that make a step cost what it costs, beside the images' size, the kind of algorithm and whether it mixes.
COSTLY = (
    "model.name", "model.norm", "batch.labelled", "batch.ratio", "forward", "precision", "compile",
    "mixing.second_pass", "mixing.double_base", "mixing.per_labelled",
)  # fmt: skip
WHOLE = 2**20  # steps that a grid's gpu_hours are for
Step = tuple[Any, ...]  # what its cost depends on
Measure = Callable[[Config], float]  # options -> seconds a step


def step_of(config: Config) -> Step:
    """Runs whose steps cost the same have the same."""
    values = configuration.flat_values(config)
    mixes = 0 if config.mix == "none" else len(config.mixing.all_pairs.split()) if config.mix == "all" else 1
    costly = [values[name] for name in COSTLY if mixes or not name.startswith("mixing.")]
    return pixels(config), config.algorithm in LABELLED_ONLY, mixes, *costly


def pixels(config: Config) -> int:
    """Of an image's side. Raises ValueError for a set that is not known here."""
    if config.dataset not in PIXELS:
        raise ValueError(f"dataset={config.dataset}: its image size is unknown here; known: {', '.join(PIXELS)}")
    return PIXELS[config.dataset]


class Hours:
    """Hours of runs; every distinct step is measured once."""

    def __init__(self, measure: Measure) -> None:
        self.measure = measure
        self.seconds: dict[Step, float] = {}

    def of(self, config: Config) -> float:
        """A whole run: steps before mixing begins, and after. ValueError where it counts epochs."""
        if config.epochs:
            raise ValueError(
                f"dataset={config.dataset}: epochs={config.epochs} counts images that are not here; "
                "give --set epochs=null steps=N"
            )
        plain = dataclasses.replace(config, mix="none")
        before = config.steps if config.mix == "none" else min(config.warmup, config.steps)
        spent = before * self._step(plain) if before else 0.0
        return (spent + (config.steps - before) * self._step(config) if before < config.steps else spent) / 3600

    def _step(self, config: Config) -> float:
        step = step_of(config)
        if step not in self.seconds:
            self.seconds[step] = self.measure(config)
            mixing = "" if config.mix == "none" else f" mix={config.mix}"
            print(f"{config.dataset} {config.model.name} {config.algorithm}{mixing}: {_rate(self.seconds[step])}")
        return self.seconds[step]


def fields(found: Grid, hours: Hours) -> str:
    """``gpu_hours`` and ``mixing_factor`` for a grid's file: of runs without mixing, and what mixing multiplies by."""
    plain, factors = dict[str, float](), []
    for cell in found.runs().values():
        if cell.config.algorithm in LABELLED_ONLY:
            continue
        whole = dataclasses.replace(cell.config, steps=WHOLE, warmup_steps=None)
        base = hours.of(dataclasses.replace(whole, mix="none"))
        plain.setdefault(cell.dataset, base)
        factors += [] if cell.config.mix == "none" else [hours.of(whole) / base]
    numbers = ", ".join(f"{name}: {value:.3g}" for name, value in plain.items())
    factor = statistics.mean(factors) if factors else 1.0
    return f"gpu_hours: {{{numbers}}}\nmixing_factor: {factor:.2f}"


def report(path: Path, sets: Sequence[str], hours: Hours) -> str:
    """The hours of a config file, or of all runs of a grid file and its fields. Raises ValueError."""
    if "blocks" not in configuration.read_yaml(path, "FILE"):
        config = configuration.load(str(path), sets)
        mixed = configuration.load(str(path), ["mix=calibratemix", *sets])
        return f"{path}: {hours.of(config):.3g} hours, with CalibrateMix {hours.of(mixed):.3g} ({config.steps:,} steps)"
    found = grid.load(path, sets)
    runs = [cell.config for cell in found.runs().values()]
    return f"{path}: {sum(map(hours.of, runs)):,.3g} hours for {len(runs)} runs\n{fields(found, hours)}"


class Measured:
    """Seconds of a step in a process of its own, over images made in ``scratch``."""

    def __init__(self, scratch: Path, steps: int) -> None:
        self.scratch, self.steps = scratch, steps

    def __call__(self, config: Config) -> float:
        with Contender("step_side.py") as child:
            out = self.scratch / f"run-{len(list(self.scratch.glob('run-*')))}"
            child.ask("train", settings=[*self._images(config), *settings(config)], out=str(out))
            child.ask("loader", steps=self.steps)  # warms up
            return statistics.median(child.ask("loader", steps=self.steps))

    def _images(self, config: Config) -> list[str]:
        size, needed = pixels(config), max(100, 2 * config.unlabelled_batch)
        stored = size + size // 7 if size >= PHOTOS else size
        options = "--image-size", str(size), "--stored-size", str(stored)
        return ours.noise(self.scratch, f"{size}-{needed}", -(-needed // ours.CLASSES), size, *options)


def settings(config: Config) -> list[str]:
    """The options of a run as words, but for where it lies and how long it is; it mixes from the first step on."""
    values = {name: value for name, value in configuration.flat_values(config).items() if name not in PLACE}
    written: dict[Any, str] = {None: "null", "": "''"}
    words = [f"{name}={written.get(value, value)}" for name, value in values.items()]
    return [*words, "warmup_steps=0", *(f"{name}_every=1000000" for name in ("log", "eval", "checkpoint"))]


def _rate(seconds: float) -> str:
    return f"{1e3 * seconds:.1f} ms a step, {WHOLE * seconds / 3600:.3g} hours for 2^20"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("files", nargs="+", type=Path, metavar="FILE", help="config or grid files")
    add("--steps", type=int, default=30, help="of each measurement (default 30)")
    add("--set", nargs="+", action="extend", default=[], metavar="a.b=c", help="training options over the files'")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        hours = Hours(Measured(Path(scratch), args.steps))
        try:
            for path in args.files:
                print(report(path, args.set, hours), flush=True)
        except ValueError as error:
            print(f"gpu_hours.py: error: {error}", file=sys.stderr)
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
