"""What all ranks agree on after a backward pass, in one flat all-reduce and without waiting for the device.

The loss terms for the log, whether a rank was asked to stop, and whether everything is finite.
From the first step that is not, nothing that training keeps changes any more: weights, EMA, BN statistics, AUM, APM and
the algorithm's state stay as they were before it. The host looks at log and save points, where all ranks stop together.
fp16 gradients that overflow are not this: the scaler skips such a step and goes on.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from pipeline.data.batches import PartSource
from pipeline.distributed import Ranks, all_reduce_mean, gather_objects
from pipeline.methods.step_types import Inputs, Observed, Saved, StepOutput
from pipeline.training.failures import RunError

SHOWN = 24  # indices in the message; status.json has them all


class Guard:
    """``broken`` [] float32, on the device: 1 from the first step on that was not finite.

    ``states``: what the algorithm and the mix keep. ``sizes``: images of this rank in each part of a batch.
    ``terms``: names of the loss terms and other numbers that are averaged over ranks with them.
    """

    def __init__(
        self,
        model: nn.Module,
        states: Iterable[Saved],
        sizes: Mapping[str, int],
        terms: Sequence[str],
        like: Tensor,
    ) -> None:
        """``like``: any tensor of the terms' dtype and device."""
        self.broken = torch.zeros((), device=like.device)
        self.step = torch.zeros((), dtype=torch.int64, device=like.device)
        self.names, self.terms = terms, like.new_zeros(len(terms))
        self.sizes = sizes
        self.suspects = torch.zeros(sum(sizes.values()), dtype=torch.bool, device=like.device)
        self.buffers = [b for b in model.buffers() if b.is_floating_point()]
        self.states = list(states)
        self.undo: list[tuple[Tensor, Tensor | None, Tensor]] = []

    def remember(self, inputs: Inputs) -> None:
        """Before the step: what it will touch. Of tables the rows of the batch alone."""
        touched: list[tuple[Tensor, Tensor | None]] = []
        for state in self.states:
            touched += [(tensor, None) for tensor in state.replicated.values()]
            touched += [(tensor, inputs.labelled.rows) for tensor in state.labelled.values()]
            touched += [(tensor, inputs.unlabelled.rows) for tensor in state.sharded.values()]
        self.undo = [(t, rows, t.clone() if rows is None else t[rows]) for t, rows in touched]
        self.statistics = self._statistics()

    @torch.no_grad()
    def agree(
        self, step: int, terms: Tensor, output: StepOutput, observed: Observed, asked: bool
    ) -> tuple[Tensor, Tensor]:
        """After the backward pass: (terms [T] of the global batch, share [] of ranks that were asked to stop).

        ``terms`` [T]: this rank's shares, in the order of the guard's names; ``asked``: this rank is to stop.
        """
        suspects = torch.cat([self._suspects(part, output, observed) for part in self.sizes])
        bad = suspects.any() | ~terms.isfinite().all()
        flags = torch.stack([bad.to(terms.dtype), torch.full_like(terms[0], float(asked))])
        terms, flags = all_reduce_mean(torch.cat([terms.detach(), flags])).split([len(terms), len(flags)])
        self._note(flags[0] > 0, step, terms, suspects)
        self._restore()
        return terms, flags[1]

    def hold_optimizer(self, optimizer: Any, *_: object) -> None:
        """A pre-hook of its step: torch's fused kernels move nothing where ``found_inf`` is 1."""
        hold(optimizer, self.broken)

    def check(self, sources: Mapping[str, PartSource], ranks: Ranks) -> None:
        """RunError on all ranks where a step was not finite; this asks the device. Collective."""
        if not self.broken.item():
            return
        step, suspects = int(self.step.item()), self.suspects.split(list(self.sizes.values()))
        mine = {}
        for name, bad in zip(self.sizes, suspects, strict=True):
            order = sources[name].order
            index, _ = order.draw(step - 1, 1)
            mine[name] = index[0, order.mine][bad.cpu().numpy()].tolist()
        everyone = gather_objects(mine)
        found = {
            "step": step,
            "terms": {name: str(value) for name, value in zip(self.names, self.terms.tolist(), strict=True)},
            **{name: [index for part in everyone for index in part[name]] for name in self.sizes},
        }
        raise RunError(_message(found, {name: sources[name].beton.name for name in self.sizes}), nonfinite=found)

    def _suspects(self, part: str, output: StepOutput, observed: Observed) -> Tensor:
        """[b] bool: images of a part whose loss or observed logits are not finite."""
        losses, logits = output.per_image.get(part), observed.logits(part)
        bad = self.broken.new_zeros(self.sizes[part], dtype=torch.bool) if losses is None else ~losses.isfinite()
        return bad if logits is None or not len(logits) else bad | ~logits.isfinite().all(dim=1)

    def _statistics(self) -> Tensor:
        return torch.cat([b.flatten() for b in self.buffers]) if self.buffers else self.terms.new_empty(0)

    def _note(self, bad: Tensor, step: int, terms: Tensor, suspects: Tensor) -> None:
        first = bad & (self.broken == 0)
        self.step.copy_(torch.where(first, step, self.step))
        self.terms.copy_(torch.where(first, terms, self.terms))
        self.suspects.copy_(torch.where(first, suspects, self.suspects))
        self.broken.copy_(torch.where(bad, torch.ones_like(self.broken), self.broken))

    def _restore(self) -> None:
        held = self.broken > 0
        for tensor, rows, before in self.undo:
            if rows is None:
                tensor.copy_(torch.where(held, before, tensor))
            else:
                tensor[rows] = torch.where(held, before, tensor[rows])
        if self.buffers:
            flat = torch.where(held, self.statistics, self._statistics())
            parts = flat.split([b.numel() for b in self.buffers])
            torch._foreach_copy_(self.buffers, [p.view_as(b) for p, b in zip(parts, self.buffers, strict=True)])


def hold(optimizer: Any, broken: Tensor) -> None:
    """Before its step: the fused ``optimizer`` moves nothing where ``broken`` [] is 1."""
    found = getattr(optimizer, "found_inf", None)  # the scaler's own, if it is in use
    optimizer.found_inf = broken if found is None else torch.maximum(found, broken)


def _message(found: dict[str, Any], betons: Mapping[str, str]) -> str:
    """``betons``: the name of the file of each part."""
    terms = ", ".join(f"{name} {value}" for name, value in found["terms"].items())
    images = [(betons[name], f"{name} {_some(found[name])}") for name in betons if found[name]]
    files = {beton: "; ".join(those for file, those in images if file == beton) for beton in betons.values()}
    told = "; ".join(f"images of {beton}: {those or 'none alone'}" for beton, those in files.items())
    return (
        f"step {found['step']}: not finite ({terms}); {told}. Nothing of this "
        "step or after it was kept; start another run (out=) with a lower optimizer.lr or precision=fp32"
    )


def _some(indices: list[int]) -> str:
    more = f" and {len(indices) - SHOWN} more" if len(indices) > SHOWN else ""
    return ", ".join(map(str, indices[:SHOWN])) + more
