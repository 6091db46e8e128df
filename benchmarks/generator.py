"""How fast generators are trained and sampled, beside the floor: the bare passes of the U-Net.

    python benchmarks/generator.py [--config configs/generator_digits.yaml] [--set a.b=c ...] [--rounds 5]

Sampling is what pipeline/generate.py does with a shard: noise, conditions, Heun's steps in float64, enlargement, the
file. Its floor is as many forward passes of the network over the same batch, nothing else. Training is the step of
pipeline/train_generator.py with its batches out of the beton, noise, Adam and the average of weights; its floor is
forward and backward over a held batch. They take turns; the figures are medians over rounds, of processor time on a
CPU, which others may use too, and of wall time on a GPU.
The last line is one JSON object:
  sampling_x        time of sampling over that of its floor
  training_x        time of a training step over that of its floor
  images_per_second of sampling, by wall time
  memory_growth_mb  how much the peak of this process grows from a few groups to four times as many
"""

import argparse
import json
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from pipeline.runs.host_tuning import tune_host

tune_host()  # as the commands do, before torch

import torch

from dataprep.generated.shards import write_shard
from pipeline import distributed
from pipeline.config import generator
from pipeline.data.dataset import open_dataset
from pipeline.generator.denoiser import training_loss
from pipeline.generator.groups import Generation, Plan
from pipeline.generator.sampler import Sampler
from pipeline.generator.train_loop import check, learn
from pipeline.generator.training_run import GeneratorRun
from pipeline.training.training_run import choose_threads

CUDA = torch.cuda.is_available()
STEPS = 20  # noise levels


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default="configs/generator_digits.yaml")
    parser.add_argument("--set", nargs="+", action="extend", default=[], metavar="a.b=c")
    for name, default in (("rounds", 5), ("steps", 10), ("micro-batch", 16), ("places", 8)):
        parser.add_argument(f"--{name}", type=int, default=default)
    given = parser.parse_args()
    config = generator.load(given.config, [*given.set, "steps=1000000"])
    dataset = open_dataset(config.labelled_data)
    check(config, dataset)
    threads = choose_threads(config.threads)
    torch.set_num_threads(threads)
    run = GeneratorRun(config, dataset, distributed.start(), threads)
    step, bare_step = training_sides(run, given.steps)
    found = {"training_x": ratio("training", step, bare_step, given.rounds, config.batch * given.steps)}
    with tempfile.TemporaryDirectory() as folder:
        found |= sampling(run, Path(folder), given.micro_batch, given.places, given.rounds)
    distributed.stop()
    print(json.dumps(found))
    return 0


def training_sides(run: GeneratorRun, steps: int) -> tuple[Callable[[], None], Callable[[], None]]:
    """``steps`` steps of ours, and as many bare passes."""
    batches = run.batches()
    _, images, draws, labels = next(batches)

    def ours() -> None:
        for _ in range(steps):
            learn(run, next(batches), False)

    def bare() -> None:
        for _ in range(steps):
            run.model.zero_grad()
            with run.numerics.autocast():
                loss = training_loss(run.model, images, draws, labels)
            loss.backward()

    return ours, bare


def sampling(run: GeneratorRun, folder: Path, micro_batch: int, places: int, rounds: int) -> dict[str, float]:
    """Its figures."""
    side, device = run.dataset.stored_size, run.ranks.device
    plan = Plan(run.size.classes, 10**6, places, 0, side, micro_batch)
    network, sampler = run.model.eval().requires_grad_(False), Sampler(STEPS)
    generation = Generation(plan, network, sampler, device, run.numerics.autocast)
    images = plan.groups_per_shard * places
    ours = partial(shard, generation, folder)
    x = torch.randn(micro_batch * places, 3, run.size.resolution, run.size.resolution, device=device)
    x = x.contiguous(memory_format=torch.channels_last)
    labels = torch.eye(run.size.classes, device=device)[torch.arange(len(x)) % run.size.classes]

    @torch.no_grad()
    def bare() -> None:
        for _ in range(images // len(x) * (2 * STEPS - 1)):
            with run.numerics.autocast():
                network.model(x, x.new_ones(len(x)), labels)

    found = {"sampling_x": ratio("sampling", ours, bare, rounds, images)}
    before = peak()
    began = time.monotonic()
    for number in range(4):
        ours(number)
    found["images_per_second"] = round(4 * images / (time.monotonic() - began), 1)
    return {**found, "memory_growth_mb": peak() - before}


def shard(generation: Generation, folder: Path, number: int = 0) -> None:
    """As pipeline/generate.py makes it."""
    write_shard(folder, number, generation.shard(number), generation.plan.groups_of(number).start)


def ratio(name: str, ours: Callable[[], None], bare: Callable[[], None], rounds: int, images: int) -> float:
    """Of the medians, after a turn of each that does not count."""
    times = [[seconds(side) for side in (ours, bare)] for _ in range(rounds + 1)][1:]
    first, second = (statistics.median(each) for each in zip(*times, strict=True))
    print(f"{name}: ours {images / first:,.0f} images a second, bare passes {images / second:,.0f}", flush=True)
    return round(first / second, 3)


def seconds(work: Callable[[], None]) -> float:
    clock = time.monotonic if CUDA else time.process_time
    began = clock()
    work()
    if CUDA:
        torch.cuda.synchronize()
    return clock() - began


def peak() -> float:
    """Largest resident memory of this process so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    sys.exit(main())
