"""What CalibrateMix costs a step beside the network: margins, AUM and APM, pairs, mixed images; and whether N matters.

    python benchmarks/margins.py                                            # one rank
    torchrun --standalone --nproc_per_node=2 benchmarks/margins.py          # the same global batch on two

The real objects on random images and logits, 64 + 448 images of 32x32. The step is FixMatch's with WRN-28-2 (observe,
learn, backward, SGD). Timings of all cases alternate; medians. The last line is one JSON object, {"percent_of_step": of
the most expensive case, "growth": cost with the most samples over cost with the fewest, the worse of both C}.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from unittest.mock import patch

from pipeline.runs.host_tuning import tune_host

tune_host()  # as pipeline/train.py does, before torch

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from pipeline import config, distributed, models
from pipeline.data.batches import NO_VIEWS, Batch, Views
from pipeline.data.dataset import Dataset
from pipeline.distributed import Ranks
from pipeline.methods.mixes import MIXES
from pipeline.methods.mixing import Pool, mix_images
from pipeline.methods.protocols import Problem, PseudoLabels
from pipeline.models.numerics import Numerics
from pipeline.training.guard import Guard
from pipeline.training.optimization import build_optimizer
from pipeline.training.step import TERMS, Inputs, Objective, Observed, Split

LABELLED, UNLABELLED, SIZE, FEATURES = 64, 448, 32, 128
SAMPLES, CLASSES = (50_000, 1_280_000, 2_400_000), (10, 1000)
SETTINGS = config.load(None, ["dataset=x", "mix=calibratemix", "warmup_steps=0", "model.name=wrn-28-2", "steps=9"])


def numerics_of(ranks: Ranks) -> Numerics:
    """As for a data set of these colours."""
    known = {"mean": (0.5,) * 3, "std": (0.25,) * 3, "image_size": SIZE}
    unknown = {name: None for name in Dataset.__dataclass_fields__ if name not in known}
    dataset = Dataset(**known, **unknown)  # type: ignore[arg-type]
    return Numerics(SETTINGS.precision, dataset, ranks.device, SETTINGS.augment.normalisation)


def random_inputs(ranks: Ranks, num_rows: int, labels: Tensor, seed: int) -> Inputs:
    """This rank's part of a global batch; rows anywhere in its part of the table."""
    random = torch.Generator().manual_seed(seed)
    slots = torch.randint(len(labels), (LABELLED,), generator=random)
    sizes = LABELLED // ranks.world, *[UNLABELLED // ranks.world] * 2
    images = (torch.randint(0, 256, (n, 3, SIZE, SIZE), dtype=torch.uint8, generator=random) for n in sizes)
    views = Views(*(x.to(ranks.device).contiguous(memory_format=torch.channels_last) for x in images))
    host = Batch(seed, NO_VIEWS, slots.numpy(), np.arange(LABELLED), np.arange(sizes[1]), np.arange(sizes[1]))
    mine = slots[ranks.rank * sizes[0] : (ranks.rank + 1) * sizes[0]]
    rows = torch.randint(num_rows, (sizes[1],), generator=random)
    slots, mine, rows = (x.to(ranks.device) for x in (slots, mine, rows))
    return Inputs(seed, views, labels[mine], slots, rows, host)


def random_observed(inputs: Inputs, classes: int) -> Observed:
    """Logits and features of no network."""
    sizes, device = (len(inputs.labels), len(inputs.rows)), inputs.labels.device
    parts = [torch.randn(n, d, device=device) for n in sizes for d in (classes, FEATURES)]
    return Observed(*parts)


def bookkeeping(ranks: Ranks, numerics: Numerics, samples: int, classes: int) -> Callable[[int], None]:
    """One step of CalibrateMix without the network: remember, update, gather, pair, mix, settle."""
    rows = samples // ranks.world
    labels = torch.randint(classes, (10 * classes,), generator=torch.Generator().manual_seed(0)).to(ranks.device)
    problem = Problem(SETTINGS, classes, rows, samples, numerics.dtype, ranks.device, labels, 2, 8)
    mix, terms = MIXES["calibratemix"](problem), torch.zeros(len(TERMS), device=ranks.device)
    sizes = LABELLED // ranks.world, UNLABELLED // ranks.world
    guard = Guard(torch.nn.Identity(), [mix.state()], sizes, terms)
    losses = torch.zeros(sizes[0], device=ranks.device), torch.zeros(sizes[1], device=ranks.device)
    batches = [random_inputs(ranks, rows, labels, seed) for seed in range(4)]
    views = [random_observed(batch, classes) for batch in batches]

    def step(number: int) -> None:
        inputs, seen = batches[number % 4], views[number % 4]
        pseudo = PseudoLabels(seen.unlabelled_logits.argmax(dim=1), losses[1])
        guard.remember(inputs)
        mix.track(inputs, seen)
        pool = Pool(inputs, SETTINGS.mixing, ranks, numerics)
        mix_images(mix.pair(inputs, seen, pseudo, pool), pool, seen, pseudo, labels, classes)
        guard.settle(number, terms, losses, seen, False)

    return step


def fixmatch(ranks: Ranks, numerics: Numerics) -> Callable[[int], None]:
    """One step of FixMatch with WRN-28-2."""
    model = models.build(SETTINGS.model, 10, 0).to(ranks.device, numerics.dtype).to(memory_format=torch.channels_last)
    ddp = torch.nn.parallel.DistributedDataParallel(model) if ranks.world > 1 else model
    optimizer = build_optimizer(model, SETTINGS.optimizer)
    passes = Split(model, ddp, True, Objective(SETTINGS, 10, numerics))
    labels = torch.arange(10, device=ranks.device)
    inputs = random_inputs(ranks, 10, labels, 0)

    def step(_: int) -> None:
        seen = passes.observe(inputs)
        confidence, label = seen.unlabelled_logits.softmax(dim=1).max(dim=1)
        terms = passes.learn(inputs, seen, PseudoLabels(label, (confidence > 0).to(confidence.dtype)), None)
        optimizer.zero_grad()
        terms[0].backward()
        optimizer.step()

    return step


def seconds(step: Callable[[int], None], number: int, ranks: Ranks) -> float:
    """Of one step, all ranks together."""
    distributed.barrier()
    began = time.perf_counter()
    step(number)
    if ranks.device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - began


def bytes_sent(step: Callable[[int], None]) -> int:
    """Bytes that this rank gives to collectives in one step."""
    given = [0]

    def counting(original: Callable[..., object], place: int) -> Callable[..., object]:
        def call(*tensors: Tensor, **more: object) -> object:
            given[0] += tensors[place].nbytes
            return original(*tensors, **more)

        return call

    places = {"all_gather_into_tensor": 1, "reduce_scatter_tensor": 1, "all_reduce": 0}
    wrapped = {name: counting(getattr(dist, name), place) for name, place in places.items()}
    with patch.multiple(dist, **wrapped):
        step(0)
    return given[0]


def main() -> None:
    """Prints a line a case and the JSON."""
    parser = argparse.ArgumentParser(description="Cost of margins, pairs and mixed images.")
    parser.add_argument("--rounds", type=int, default=15, help="timings of each case")
    parser.add_argument("--steps", type=int, default=3, help="timings of the FixMatch step")
    given = parser.parse_args()
    ranks = distributed.start()
    torch.set_num_threads(max(1, torch.get_num_threads() // (ranks.world if ranks.world > 1 else 1)))
    numerics = numerics_of(ranks)
    cases = {(n, c): bookkeeping(ranks, numerics, n, c) for c in CLASSES for n in SAMPLES}
    times: dict[tuple[int, int], list[float]] = {case: [] for case in cases}
    sent = {case: bytes_sent(step) for case, step in cases.items()}
    for number in range(given.rounds + 2):
        for case, step in cases.items():
            times[case].append(seconds(step, number, ranks))
    cost = {case: statistics.median(values[2:]) for case, values in times.items()}
    whole = fixmatch(ranks, numerics)
    base = statistics.median([seconds(whole, i, ranks) for i in range(given.steps + 1)][1:])
    if ranks.is_main:
        print(f"{ranks.world} ranks, {numerics.precision}: FixMatch step of WRN-28-2 {1000 * base:.0f} ms")
        for (n, c), value in cost.items():
            share = f"{100 * value / base:.2f}% of the step"
            print(f"N {n:>9,}  C {c:>4}  {1000 * value:7.2f} ms  {share}  {sent[n, c] / 1024:7.0f} KiB to collectives")
        growth = max(cost[SAMPLES[-1], c] / cost[SAMPLES[0], c] for c in CLASSES)
        percent = 100 * max(cost.values()) / base
        print(json.dumps({"percent_of_step": round(percent, 2), "growth": round(growth, 2)}))
    distributed.stop()


if __name__ == "__main__":
    main()
