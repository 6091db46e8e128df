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
from pipeline.data.dataset import Dataset
from pipeline.distributed import Ranks
from pipeline.methods.mixes import MIXES
from pipeline.methods.mixing import Mixing
from pipeline.methods.objective import Objective
from pipeline.methods.protocols import MethodContext
from pipeline.methods.step_types import Inputs, Observed, Outputs, Part, PseudoLabels, StepOutput
from pipeline.models.numerics import Numerics
from pipeline.training.guard import Guard
from pipeline.training.optimization import build_optimizer
from pipeline.training.passes import JointPasses
from pipeline.training.progress import LOGGED

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
    own = torch.randint(len(labels), (LABELLED,), generator=random)
    sizes = LABELLED // ranks.world, *[UNLABELLED // ranks.world] * 2
    images = (torch.randint(0, 256, (n, 3, SIZE, SIZE), dtype=torch.uint8, generator=random) for n in sizes)
    shown, weak, strong = (x.to(ranks.device).contiguous(memory_format=torch.channels_last) for x in images)
    index, mine = own.numpy(), slice(ranks.rank * sizes[0], (ranks.rank + 1) * sizes[0])
    rows = torch.randint(num_rows, (sizes[1],), generator=random).to(ranks.device)
    nobody, own = np.arange(sizes[1]), own.to(ranks.device)
    labelled = Part(shown, None, labels[own[mine]], own, index, np.arange(LABELLED))
    return Inputs(seed, {"labelled": labelled, "unlabelled": Part(weak, strong, None, rows, nobody, nobody)})


def random_observed(inputs: Inputs, classes: int) -> Observed:
    """Logits and features of no network."""
    parts = [part.weak for part in (inputs.labelled, inputs.unlabelled)]
    outputs = [Outputs(*(torch.randn(len(x), d, device=x.device) for d in (classes, FEATURES))) for x in parts]
    return Observed(outputs[0], outputs[1])


def bookkeeping(ranks: Ranks, numerics: Numerics, samples: int, classes: int) -> Callable[[int], None]:
    """One step of CalibrateMix without the network: remember, update, gather, pair, mix, agree."""
    rows = samples // ranks.world
    labels = torch.randint(classes, (10 * classes,), generator=torch.Generator().manual_seed(0)).to(ranks.device)
    context = MethodContext(
        config=SETTINGS, num_classes=classes, num_rows=rows, num_unlabelled=samples, labels=labels, repeats=2,
        labelled_repeats=8, dtype=numerics.dtype, device=ranks.device,
    )  # fmt: skip
    mix, terms = MIXES["calibratemix"](context), torch.zeros(len(LOGGED), device=ranks.device)
    mixing = Mixing(SETTINGS, classes, labels, ranks, numerics)
    sizes = {"labelled": LABELLED // ranks.world, "unlabelled": UNLABELLED // ranks.world}
    guard = Guard(torch.nn.Identity(), [mix.state()], sizes, LOGGED, terms)
    losses = {name: torch.zeros(size, device=ranks.device) for name, size in sizes.items()}
    batches = [random_inputs(ranks, rows, labels, seed) for seed in range(4)]
    views = [random_observed(batch, classes) for batch in batches]

    def step(number: int) -> None:
        inputs, observed = batches[number % 4], views[number % 4]
        pseudo = PseudoLabels(observed.unlabelled.logits.argmax(dim=1), losses["unlabelled"])
        guard.remember(inputs)
        mix.track(inputs, observed)
        mix.groups([], mixing.pool(inputs, observed, pseudo))
        guard.agree(number, terms, StepOutput(terms[0], {}, losses), observed, False)

    return step


def fixmatch(ranks: Ranks, numerics: Numerics) -> Callable[[int], None]:
    """One step of FixMatch with WRN-28-2."""
    model = models.network(SETTINGS.model, 10, 0, 32, ranks.device, numerics.dtype)
    ddp = torch.nn.parallel.DistributedDataParallel(model) if ranks.world > 1 else model
    optimizer = build_optimizer(model, SETTINGS.optimizer)
    passes = JointPasses(ddp, numerics, ranks.world, options=SETTINGS.mixing)
    objective = Objective(SETTINGS, 10)
    inputs = random_inputs(ranks, 10, torch.arange(10, device=ranks.device), 0)

    def step(_: int) -> None:
        observed = passes.observe(inputs)
        confidence, label = observed.unlabelled.logits.softmax(dim=1).max(dim=1)
        pseudo = PseudoLabels(label, (confidence > 0).to(confidence.dtype))
        output = passes.learn(inputs, observed, objective.groups(inputs, pseudo))
        optimizer.zero_grad()
        output.loss.backward()
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

    places = {distributed.ALL_GATHER: 1, distributed.REDUCE_SCATTER: 1, "all_reduce": 0, "broadcast": 0}
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
