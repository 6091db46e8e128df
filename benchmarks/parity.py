"""The same weights, the same images, the same numbers: networks and training steps beside the peer (see peer.py).

    python benchmarks/parity.py [--steps 8] [--labelled 4]

Networks: logits and pooled features of WRN-28-2, WRN-28-8 and WRN-37-2 on copied weights. Training: FixMatch, FlexMatch
and SoftMatch with ``forward: joint`` through pipeline/train.py's own loop, beside the peer's train_step with all its
hooks (thresholds, alignment, SGD and its schedule, EMA), one process without ranks, on images of our own loader.
Compared at every step: loss, its terms, share of used pseudo-labels, every gradient, learning rate; at the end:
weights, BN statistics, EMA, weight decay of each parameter, and what the algorithm remembers of samples and classes.

In float64 throughout, and in float32 with the peer's model and images moved to our memory layout: between layouts the
float32 gradients of a fresh WRN differ by up to a percent, because each is that far from the float64 ones.
The head's weights are multiplied by 40, so that a fresh network is sure of some images and unsure of others, and
SoftMatch's averages move with momentum .5; a run in which all or no images count is an error, not a pass.
Stand-ins for parts of the peer on the CPU: peer.stub (three imports that are never called), peer_side.py (Tensor.cuda,
the CUDA timer). Not compared: BN statistics of layers whose result the peer throws away; we do not compute them.
The last line is one JSON object of the largest differences; the exit code is 1 where a tolerance is missed.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ours
import peer
import torch
from contender import Contender
from torch import Tensor

from pipeline import models
from pipeline.config.sections import ModelConfig
from pipeline.methods.step_types import Inputs
from pipeline.training.progress import LOGGED
from pipeline.training.training_run import TrainingRun

NETWORKS = {"wrn-28-2": ("wrn_28_2", 32), "wrn-28-8": ("wrn_28_8", 32), "wrn-37-2": ("wrn_var_37_2", 96)}
TRAINED = "wrn-28-2"
ALGORITHMS = ("fixmatch", "flexmatch", "softmatch")
DTYPES = {"fp32": torch.float32, "fp64": torch.float64}
TOLERANCES = {"forward": 1e-6, "loss": 1e-5, "gradient": 1e-5, "state": 1e-5}
COMPARED_TERMS = ("loss", "loss_labelled", "loss_unlabelled", "mask_rate")  # as peer_side.LOSSES
SHARPER_HEAD = 40
IMAGES_PER_CLASS = 6  # so few that every unlabelled image comes several times, and FlexMatch learns thresholds
QUICK = 0.5  # momentum of SoftMatch's averages: with .999 every weight is 1 for some hundred steps
STEPS_OF_SCHEDULE = 100
Differences = dict[str, float]


class Recorder:
    """Our steps: the batches as the peer gets them, and what came out of each."""

    def __init__(self, steps: int) -> None:
        self.steps = steps
        self.batches: list[Any] = []
        self.terms: list[Tensor] = []
        self.gradients: list[list[Tensor | None]] = []
        self.rates: list[float] = []

    def feed(self, run: TrainingRun) -> Iterator[Inputs]:
        """Our own loader's batches, from a start that both sides share."""
        with torch.no_grad():
            for model in (run.model, run.ema.module):
                model.head.weight *= SHARPER_HEAD
        self.run, self.start = run, [value.clone() for value in run.model.state_dict().values()]
        run.optimizer.register_step_pre_hook(self._before_update)
        for inputs in TrainingRun.inputs(run):
            if inputs.step == self.steps:
                raise ours.Enough
            self.batches.append(as_the_peer_gets_it(run, inputs))
            run.progress.sums.zero_()
            yield inputs
            self.terms.append(run.progress.sums[[LOGGED.index(name) for name in COMPARED_TERMS]])

    def _before_update(self, optimizer: torch.optim.Optimizer, *_: object) -> None:
        self.rates.append(optimizer.param_groups[0]["lr"])
        self.gradients.append([None if p.grad is None else p.grad.clone() for p in self.run.model.parameters()])


def as_the_peer_gets_it(run: TrainingRun, inputs: Inputs) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The same images, normalised here; and who they are."""
    parts = inputs.labelled, inputs.unlabelled
    assert parts[0].labels is not None and parts[1].strong is not None
    views = parts[0].weak, parts[1].weak, parts[1].strong
    labelled, weak, strong = (run.numerics.normalise(view) for view in views)
    index = torch.from_numpy(parts[1].index)
    return (
        {"idx_lb": parts[0].rows, "x_lb": labelled, "y_lb": parts[0].labels},
        {"idx_ulb": index, "x_ulb_w": weak, "x_ulb_s": strong},
    )


def remembered(run: TrainingRun) -> dict[str, Tensor]:
    """The algorithm's state under the peer's names, samples in the order of the data set."""
    algorithm: Any = run.algorithm
    if run.config.algorithm == "flexmatch":
        positions = torch.arange(run.shards.num_samples).numpy()
        return {
            "selected_label": algorithm.selected[run.shards.row_of(positions, 0, 1)],
            "classwise_acc": algorithm.learnt(),
        }
    if run.config.algorithm == "softmatch":
        return {"p_model": algorithm.p_model, "mu": algorithm.mean, "var": algorithm.variance}
    return {}


def living(run: TrainingRun) -> list[bool]:
    """Of the entries of the model's state: false for BN statistics that only the peer computes, and discards."""
    dead = [f"{name}.norm1." for name, module in run.model.named_modules() if getattr(module, "dead", False)]
    moving = ("running_mean", "running_var", "num_batches_tracked")
    names = run.model.state_dict()
    return [not (name.startswith(tuple(dead)) and name.endswith(moving)) for name in names]


def largest(mine: list[Tensor], theirs: list[Tensor]) -> float:
    """The largest difference of any entry, relative to the largest entry of all."""
    pairs = [(a.double(), b.double()) for a, b in zip(mine, theirs, strict=True)]
    scale = max(float(b.abs().max()) for _, b in pairs)
    return max(float((a - b).abs().max()) for a, b in pairs) / (scale or 1.0)


def forwards(usb: Contender) -> Iterator[tuple[str, Differences]]:
    for name, (net, size) in NETWORKS.items():
        for precision, dtype in DTYPES.items():
            model = models.build(ModelConfig(name=name), ours.CLASSES, seed=1).to(dtype)
            images = torch.randn(4, 3, size, size, dtype=dtype, generator=torch.Generator().manual_seed(2))
            worst = 0.0
            for training in (False, True):
                state = [value.clone() for value in model.state_dict().values()]
                with torch.no_grad():
                    mine = model.train(training)(images)
                asked = {"net": net, "state": state, "images": images, "training": training}
                theirs = usb.ask("forward", **asked, double=precision == "fp64")
                worst = max(worst, largest(list(mine), list(theirs)))
            yield f"{name} {precision}", {"forward": worst}


def trainings(
    usb: Contender, settings: list[str], args: argparse.Namespace, scratch: Path
) -> Iterator[tuple[str, Differences]]:
    for algorithm in args.algorithms:
        for precision in DTYPES:
            record = Recorder(args.steps)
            chosen = [f"algorithm={algorithm}", f"precision={precision}", "forward=joint", f"steps={STEPS_OF_SCHEDULE}"]
            ours.drive(
                [*settings, *chosen, "log_every=1000", f"softmatch.momentum={QUICK}"],
                scratch / f"{algorithm}-{precision}",
                record.feed,
            )
            config = record.run.config
            options = {
                "algorithm": algorithm,
                "net": NETWORKS[TRAINED][0],
                "num_classes": ours.CLASSES,
                "num_train_iter": STEPS_OF_SCHEDULE,
                "ulb_dest_len": record.run.shards.num_samples,
                "weight_decay": config.optimizer.weight_decay,
                "lr": config.optimizer.lr,
                "ema_m": config.ema.decay,
                "ema_p": QUICK,
            }
            asked = {"state": record.start, "batches": record.batches, "options": options}
            theirs = usb.ask("train", **asked, double=precision == "fp64", channels_last=precision == "fp32")
            yield f"{algorithm} {precision}", differences(record, theirs)


def differences(record: Recorder, theirs: dict[str, Any]) -> Differences:
    run = record.run
    share = torch.stack(record.terms)[:, COMPARED_TERMS.index("mask_rate")]
    assert ((share > 0) & (share < 1)).any(), f"the images used are all or none ({share.tolist()}): nothing is compared"
    assert record.rates == theirs["rates"], (record.rates, theirs["rates"])
    decay = {p: group["weight_decay"] for group in run.optimizer.param_groups for p in group["params"]}
    for parameter, other in zip(run.model.parameters(), theirs["decay"], strict=True):
        assert decay.get(parameter, other) == other
    gradient = 0.0
    for mine, other in zip(record.gradients, theirs["gradients"], strict=True):
        assert [g is None for g in mine] == [g is None for g in other]
        gradient = max(gradient, largest([g for g in mine if g is not None], [g for g in other if g is not None]))
    kept = living(run)
    state = 0.0
    for model, other in ((run.model, theirs["state"]), (run.ema.module, theirs["ema"])):
        for mine, value, lives in zip(model.state_dict().values(), other, kept, strict=True):
            state = max(state, largest([mine], [value]) if lives else 0.0)
    for name, value in remembered(run).items():
        state = max(state, largest([value], [theirs["algorithm"][name]]))
    terms = torch.tensor(theirs["losses"], dtype=torch.float64)
    return {"loss": largest([torch.stack(record.terms)], [terms]), "gradient": gradient, "state": state}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=8, help="training steps, the state carried on (default 8)")
    parser.add_argument("--labelled", type=int, default=4, help="labelled images a step, 7 unlabelled each (default 4)")
    parser.add_argument("--algorithms", nargs="+", choices=ALGORITHMS, default=ALGORITHMS)
    args = parser.parse_args()
    try:
        python = peer.python()
    except ValueError as error:
        print(f"parity.py: error: {error}", file=sys.stderr)
        return 2
    torch.set_num_threads(1)
    worst = dict.fromkeys(TOLERANCES, 0.0)
    with tempfile.TemporaryDirectory() as name, Contender("peer_side.py", python, OMP_NUM_THREADS="1") as usb:
        scratch = Path(name)
        settings = ours.make_data(ours.write_images(scratch / "source", IMAGES_PER_CLASS, 32), scratch / "data")
        settings += [f"model.name={TRAINED}", "threads=1", f"batch.labelled={args.labelled}"]
        for rows in (forwards(usb), trainings(usb, settings, args, scratch)):
            for what, found in rows:
                print(f"{what:16}" + "".join(f"  {key} {value:.1e}" for key, value in found.items()), flush=True)
                worst |= {key: max(worst[key], value) for key, value in found.items()}
    print(json.dumps({key: float(f"{value:.2e}") for key, value in worst.items()}))
    return int(any(worst[key] > TOLERANCES[key] for key in TOLERANCES))


if __name__ == "__main__":
    sys.exit(main())
