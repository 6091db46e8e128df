"""``forward: ladder``: variants of a step's passes between split and joint, to find out which difference matters."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from pipeline.methods.objective import evaluate_groups
from pipeline.methods.step_types import Group, Inputs, Observed, Outputs, StepOutput
from pipeline.training.joint_passes import frozen_statistics
from pipeline.training.step import forward


class LadderPasses:
    """``ladder.observe``, ``ladder.mixed``, ``ladder.learn_weak`` and ``ladder.writes`` as the options say."""

    def __init__(self, run: Any, ddp: nn.Module) -> None:
        self.run, self.ddp, self.options = run, ddp, run.config.ladder
        self.writes = self.options.writes.split()
        self.numerics, self.world = run.numerics, run.ranks.world

    @torch.no_grad()
    def observe(self, inputs: Inputs) -> Observed:
        """Forward of the weak views (and the strong) in the mode that ``ladder.observe`` names."""
        how = self.options.observe
        model = self.run.ema.module if how == "ema" else self.run.model
        views = [inputs.labelled.weak, inputs.unlabelled.weak, *([inputs.unlabelled.strong] if how == "all" else [])]
        with evaluating(model) if how in ("running", "ema") else self._statistics("observe"):
            logits, features = forward(model, views, self.numerics)
        sizes = [len(view) for view in views]
        parts = list(zip(logits.split(sizes), features.split(sizes), strict=True))
        return Observed(Outputs(*parts[0]), Outputs(*parts[1]))

    def learn(self, inputs: Inputs, observed: Observed, groups: Sequence[Group]) -> StepOutput:
        """One forward of all groups, or one of the mixed images and one of the others."""
        learned = [group for group in groups if group.weight]
        apart = [group for group in learned if group.term == "mix"] if self.options.mixed == "alone" else []
        base = [group for group in learned if group not in apart]
        extra = [inputs.unlabelled.weak] if self.options.learn_weak else []
        with self._statistics("learn"):
            images = [*(group.images for group in base), *extra]
            logits, _ = forward(self.ddp, images, self.numerics)
        output = evaluate_groups(base, logits.split([len(each) for each in images])[: len(base)], self.world)
        if not apart:
            return output
        with self._statistics("mixed"):
            logits, _ = forward(self.ddp, [group.images for group in apart], self.numerics)
        mixed = evaluate_groups(apart, [logits], self.world)
        return StepOutput(
            output.loss + mixed.loss, {**output.terms, **mixed.terms}, {**output.per_image, **mixed.per_image}
        )

    def _statistics(self, which: str) -> Any:
        return frozen_statistics(self.run.model, freeze=which not in self.writes)


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """The network under its running statistics."""
    before = model.training
    model.eval()
    yield
    model.train(before)
