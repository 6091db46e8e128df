"""Schedule, SGD and EMA against their formulas."""

import copy
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from pipeline.config.sections import EmaConfig, OptimizerConfig
from pipeline.training.optimization import MovingAverage, build_optimizer, clip_gradient, set_learning_rate


@pytest.mark.parametrize("decay_on", ["matrices", "all"])
def test_weight_decay_on_matrices_or_on_all(decay_on: str) -> None:
    """With no gradient, what decays shrinks by lr x weight_decay and the rest stays."""
    model = nn.BatchNorm1d(3), nn.Linear(3, 2)
    optimizer = build_optimizer(nn.Sequential(*model), OptimizerConfig(lr=0.5, weight_decay=0.1, decay_on=decay_on))
    before = [p.detach().clone() for module in model for p in module.parameters()]
    for module in model:
        for parameter in module.parameters():
            parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    factor = 1 - 0.5 * 0.1 * 1.9  # Nesterov's first step: (1 + momentum) times the gradient
    for old, new in zip(before, (p for module in model for p in module.parameters()), strict=True):
        decays = decay_on == "all" or old.ndim > 1
        torch.testing.assert_close(new.detach(), old * factor if decays else old)


@pytest.mark.parametrize("norm", [0.5, 1e6])
def test_clipping_scales_the_whole_gradient(norm: float) -> None:
    model = nn.Linear(3, 2)
    model(torch.ones(4, 3)).square().sum().backward()
    before = [p.grad.clone() for p in model.parameters() if p.grad is not None]
    length = torch.cat([g.flatten() for g in before]).norm()
    clip_gradient(model, norm)
    for old, parameter in zip(before, model.parameters(), strict=True):
        torch.testing.assert_close(parameter.grad, old * min(1.0, norm / float(length)))


def test_zero_momentum_buffers_are_torchs_first_step() -> None:
    """Buffers that exist from the start let a checkpoint load into them; the update must stay torch's."""
    ours, theirs = nn.Linear(3, 2), nn.Linear(3, 2)
    theirs.load_state_dict(ours.state_dict())
    optimizer = build_optimizer(ours, OptimizerConfig(lr=0.1, weight_decay=0.01))
    groups = [{"params": [theirs.weight], "weight_decay": 0.01}, {"params": [theirs.bias]}]
    reference = torch.optim.SGD(groups, 0.1, 0.9, nesterov=True)
    for step in range(3):
        x = torch.randn(4, 3)
        for model, sgd in ((ours, optimizer), (theirs, reference)):
            set_learning_rate(sgd, 0.1 / (step + 1))
            sgd.zero_grad()
            model(x).square().sum().backward()
            sgd.step()
    torch.testing.assert_close(ours.weight, theirs.weight)
    torch.testing.assert_close(ours.bias, theirs.bias)


@pytest.mark.parametrize("buffers", ["copy", "average"])
def test_ema_starts_at_the_first_weights(buffers: str) -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    ema = MovingAverage(model, EmaConfig(decay=0.9, buffers=buffers))
    weight, mean = copy.deepcopy(model[0].weight.data), model[1].running_mean.clone()
    for _ in range(3):
        with torch.no_grad():
            model[0].weight += 1
            model[1].running_mean += 1
        ema.update()
        weight = 0.9 * weight + 0.1 * model[0].weight.data
        mean = 0.9 * mean + 0.1 * model[1].running_mean
    torch.testing.assert_close(ema.module[0].weight.data, weight)
    expected = model[1].running_mean if buffers == "copy" else mean
    torch.testing.assert_close(ema.module[1].running_mean, expected)


class Copies(TorchDispatchMode):
    """Notes the dtypes of each list that is copied at once."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[set[torch.dtype]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func == torch.ops.aten._foreach_copy_.default:
            self.seen.append({t.dtype for tensors in args for t in tensors})
        return func(*args, **kwargs or {})


@pytest.mark.parametrize(("buffers", "copies"), [("copy", 2), ("average", 1)])
def test_ema_copies_each_dtype_at_once(buffers: str, copies: int) -> None:
    """CUDA has a fast path for lists of one dtype: 69 single copies a step of WRN-28-2 otherwise."""
    model = nn.Sequential(nn.BatchNorm1d(2), nn.BatchNorm1d(2))
    ema = MovingAverage(model, EmaConfig(decay=0.9, buffers=buffers))
    model(torch.randn(4, 2))
    with Copies() as mode:
        ema.update()
    assert [len(dtypes) for dtypes in mode.seen] == [1] * copies
    assert ema.module[1].num_batches_tracked == 1
