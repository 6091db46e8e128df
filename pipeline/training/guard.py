"""What all ranks settle after a backward pass, in one flat all-reduce and without waiting for the device.

The loss terms for the log, the BN statistics, whether a rank was asked to stop, and whether everything is finite.
From the first step that is not, nothing that training keeps changes any more: weights, EMA, BN statistics, AUM, APM and
the algorithm's state stay as they were before it. The host looks at log and save points, where all ranks stop together.
fp16 gradients that overflow are not this: the scaler skips such a step and goes on.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from pipeline.data.streams import Order
from pipeline.distributed import Ranks, all_reduce_mean, gather_objects
from pipeline.methods.protocols import State
from pipeline.training.failures import RunError
from pipeline.training.step import TERMS, Inputs, Observed

SHOWN = 24  # indices in the message; status.json has them all


class Guard:
    """``broken`` [] float32, on the device: 1 from the first step on that was not finite.

    ``states``: what the algorithm and the mix keep. ``sizes``: labelled and unlabelled images of this rank in a batch.
    """

    def __init__(self, model: nn.Module, states: Iterable[State], sizes: tuple[int, int], terms: Tensor) -> None:
        """``terms`` [TERMS]: any tensor of the right dtype and device."""
        self.broken = torch.zeros((), device=terms.device)
        self.step = torch.zeros((), dtype=torch.int64, device=terms.device)
        self.terms = torch.zeros_like(terms)
        self.suspects = torch.zeros(sum(sizes), dtype=torch.bool, device=terms.device)
        self.num_labelled = sizes[0]
        self.buffers = [b for b in model.buffers() if b.is_floating_point()]
        self.states = list(states)
        self.undo: list[tuple[Tensor, Tensor | None, Tensor]] = []

    def remember(self, inputs: Inputs) -> None:
        """Before the step: what it will touch. Of tables the rows of the batch alone."""
        where = {"sharded": inputs.rows, "labelled": inputs.global_slots, "replicated": None}
        touched = [(t, where[kind]) for s in self.states for kind, part in s.items() for t in part.values()]
        self.undo = [(t, rows, t.clone() if rows is None else t[rows]) for t, rows in touched]
        self.statistics = self._statistics()

    @torch.no_grad()
    def settle(
        self, step: int, terms: Tensor, losses: tuple[Tensor, Tensor], seen: Observed, asked: bool
    ) -> tuple[Tensor, Tensor]:
        """After the backward pass: (terms [TERMS] of the global batch, share [] of ranks that were asked to stop).

        ``terms`` [TERMS] and ``losses`` ([b_l], [b_u], per image) of this rank; ``asked``: this rank is to stop.
        """
        suspects = torch.cat(
            [_not_finite(losses[0], seen.labelled_logits), _not_finite(losses[1], seen.unlabelled_logits)]
        )
        bad = suspects.any() | ~terms.isfinite().all()
        flags = torch.stack([bad.to(terms.dtype), torch.full_like(terms[0], float(asked))])
        together = torch.cat([terms.detach(), flags, self._statistics().to(terms.dtype)])
        terms, flags, statistics = all_reduce_mean(together).split([len(TERMS), 2, len(together) - len(TERMS) - 2])
        self._note(flags[0] > 0, step, terms, suspects)
        self._restore(statistics)
        return terms, flags[1]

    def hold_optimizer(self, optimizer: Any, *_: object) -> None:
        """A pre-hook of its step: torch's fused kernels move nothing where ``found_inf`` is 1."""
        found = getattr(optimizer, "found_inf", None)  # the scaler's own, if it is in use
        optimizer.found_inf = self.broken if found is None else torch.maximum(found, self.broken)

    def check(self, order: Order, ranks: Ranks) -> None:
        """RunError on all ranks where a step was not finite; this asks the device. Collective."""
        if not self.broken.item():
            return
        step, suspects = int(self.step.item()), self.suspects.cpu().numpy()
        batch = order.draw(step - 1, 1)
        mine = slice(ranks.rank * self.num_labelled, (ranks.rank + 1) * self.num_labelled)
        labelled = batch.labelled[0, mine][suspects[: self.num_labelled]]
        unlabelled = batch.unlabelled[0][suspects[self.num_labelled :]]
        everyone = gather_objects((labelled.tolist(), unlabelled.tolist()))
        found = {
            "step": step,
            "terms": {name: str(value) for name, value in zip(TERMS, self.terms.tolist(), strict=True)},
            "labelled": [i for part in everyone for i in part[0]],
            "unlabelled": [i for part in everyone for i in part[1]],
        }
        raise RunError(_message(found), nonfinite=found)

    def _statistics(self) -> Tensor:
        return torch.cat([b.flatten() for b in self.buffers]) if self.buffers else self.terms.new_empty(0)

    def _note(self, bad: Tensor, step: int, terms: Tensor, suspects: Tensor) -> None:
        first = bad & (self.broken == 0)
        self.step.copy_(torch.where(first, step, self.step))
        self.terms.copy_(torch.where(first, terms, self.terms))
        self.suspects.copy_(torch.where(first, suspects, self.suspects))
        self.broken.copy_(torch.where(bad, torch.ones_like(self.broken), self.broken))

    def _restore(self, statistics: Tensor) -> None:
        held = self.broken > 0
        for tensor, rows, before in self.undo:
            if rows is None:
                tensor.copy_(torch.where(held, before, tensor))
            else:
                tensor[rows] = torch.where(held, before, tensor[rows])
        if self.buffers:
            flat = torch.where(held, self.statistics, statistics.to(self.statistics.dtype))
            parts = flat.split([b.numel() for b in self.buffers])
            torch._foreach_copy_(self.buffers, [p.view_as(b) for p, b in zip(parts, self.buffers, strict=True)])


def _not_finite(losses: Tensor, logits: Tensor) -> Tensor:
    """[b] bool; ``logits`` [b, C], or [0, C] where nobody looked."""
    bad = ~losses.isfinite()
    return bad | ~logits.isfinite().all(dim=1) if len(logits) else bad


def _message(found: dict[str, Any]) -> str:
    terms = ", ".join(f"{name} {value}" for name, value in found["terms"].items())
    images = "; ".join(f"{name} {_some(found[name])}" for name in ("labelled", "unlabelled") if found[name])
    return (
        f"step {found['step']}: not finite ({terms}); images of train.beton: {images or 'none alone'}. Nothing of this "
        "step or after it was kept; start another run (out=) with a lower optimizer.lr or precision=fp32"
    )


def _some(indices: list[int]) -> str:
    more = f" and {len(indices) - SHOWN} more" if len(indices) > SHOWN else ""
    return ", ".join(map(str, indices[:SHOWN])) + more
