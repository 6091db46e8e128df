"""The arithmetic of batch norm over all ranks: three operators on CPU and CUDA that torch.compile takes as they are.

``statistics`` and ``backward`` meet the other ranks, once each, and nothing waits for the device. (SyncBatchNorm leaves
out empty ranks by a boolean mask, whose size the host has to ask for; here every rank has images.) On CUDA the kernels
are those of SyncBatchNorm, on a CPU those of batch norm, with about as much work as batch norm on one rank.
Counts travel with the statistics, so ranks may hold different numbers of images.

Shapes: x, grad [B, C, ...] in any floating dtype; weight, bias and statistics [C] in float32 (x in float64: float64).
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from pipeline.distributed import gather_in_group, sum_in_group_

Three = tuple[Tensor, Tensor, Tensor]
SCHEMAS = {
    "statistics": "(Tensor x, Tensor(a!) running_mean, Tensor(b!) running_var, float momentum, float eps, str group, "
    "int world) -> (Tensor mean, Tensor invstd, Tensor counts)",
    "normalise": "(Tensor x, Tensor weight, Tensor bias, Tensor mean, Tensor invstd) -> Tensor",
    "backward": "(Tensor grad, Tensor x, Tensor weight, Tensor mean, Tensor invstd, Tensor counts, str group) "
    "-> (Tensor, Tensor, Tensor)",
}


def cuda_statistics(
    x: Tensor, running_mean: Tensor, running_var: Tensor, momentum: float, eps: float, group: str, world: int
) -> Three:
    """Mean and 1 / standard deviation [C] over all ranks, rows of each rank [W] int32; running statistics follow."""
    mean, invstd = torch.batch_norm_stats(x, eps)
    count = mean.new_full((1,), x.numel() // len(mean))
    everyone = gather_in_group(torch.cat([mean, invstd, count]), group, world)
    means, invstds, counts = everyone.split([len(mean), len(mean), 1], dim=1)
    mean, invstd = torch.batch_norm_gather_stats_with_counts(
        x, means, invstds, running_mean, running_var, momentum, eps, counts.view(-1)
    )
    return mean, invstd, counts.view(-1).to(torch.int32)


def cpu_statistics(
    x: Tensor, running_mean: Tensor, running_var: Tensor, momentum: float, eps: float, group: str, world: int
) -> Three:
    """As ``cuda_statistics``. Variances add up around the common mean: sums of squares would cancel."""
    unused = torch.zeros(2, len(running_mean), dtype=running_mean.dtype)  # the dtype of the results
    mean, var = torch.batch_norm_update_stats(x, unused[0], unused[1], 0.0)
    count = mean.new_full((1,), x.numel() // len(mean))
    everyone = gather_in_group(torch.cat([mean, var, count]), group, world)
    means, variances, counts = everyone.split([len(mean), len(mean), 1], dim=1)
    total = counts.sum()
    mean = (means * counts).sum(dim=0) / total
    var = ((variances + (means - mean).square()) * counts).sum(dim=0) / total
    running_mean.mul_(1 - momentum).add_(mean, alpha=momentum)
    running_var.mul_(1 - momentum).add_(var * (total / (total - 1)), alpha=momentum)
    return mean, (var + eps).rsqrt(), counts.view(-1).to(torch.int32)


def fake_statistics(
    x: Tensor, running_mean: Tensor, running_var: Tensor, momentum: float, eps: float, group: str, world: int
) -> Three:
    """Shapes and dtypes alone."""
    counts = x.new_empty(world, dtype=torch.int32)
    return torch.empty_like(running_mean), torch.empty_like(running_var), counts


def cuda_normalise(x: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, invstd: Tensor) -> Tensor:
    """(x - mean) * invstd * weight + bias, in the dtype and layout of x."""
    return torch.batch_norm_elemt(x, weight, bias, mean, invstd, 0.0)  # it does not look at eps


def cpu_normalise(x: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, invstd: Tensor) -> Tensor:
    """As ``cuda_normalise``."""
    return _affine(x, weight * invstd, bias, mean)


def fake_normalise(x: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, invstd: Tensor) -> Tensor:
    """Shape and dtype alone."""
    return torch.empty_like(x)


def cuda_backward(
    grad: Tensor, x: Tensor, weight: Tensor, mean: Tensor, invstd: Tensor, counts: Tensor, group: str
) -> Three:
    """Gradients of x over all ranks, and of weight and bias over this one (DDP adds those up)."""
    sum_dy, sum_dy_xmu, grad_weight, grad_bias = torch.batch_norm_backward_reduce(
        grad, x, mean, invstd, weight, True, True, True
    )
    sum_dy, sum_dy_xmu = sum_in_group_(torch.cat([sum_dy, sum_dy_xmu]), group).split(len(mean))
    grad_x = torch.batch_norm_backward_elemt(grad, x, mean, invstd, weight, sum_dy, sum_dy_xmu, counts)
    return grad_x, grad_weight, grad_bias


def cpu_backward(
    grad: Tensor, x: Tensor, weight: Tensor, mean: Tensor, invstd: Tensor, counts: Tensor, group: str
) -> Three:
    """As ``cuda_backward``: scale * (grad - mean(grad) - xmu * mean(grad * xmu) * invstd^2), xmu = x - mean.

    The sums are batch norm's own backward for fixed statistics with a variance of 1. In half precision ``scale`` is
    rounded before it is used: a channel's gradient is then all of one factor, at most 0.2% from 1, and still sums to 0.
    """
    _, sum_dy_xmu, sum_dy = torch.ops.aten.native_batch_norm_backward(
        grad, x, weight, mean, torch.ones_like(mean), None, None, False, 0.0, [False, True, True]
    )
    everyone = gather_in_group(
        torch.cat([sum_dy, sum_dy_xmu]), group, len(counts)
    )  # gloo's own sum takes twice as long
    mean_dy, mean_dy_xmu = (everyone.sum(dim=0) / counts.sum()).split(len(mean))
    rounded = (weight * invstd).to(x.dtype)
    scale = rounded.to(mean.dtype)
    grad_x = _affine(x, -mean_dy_xmu * invstd.square() * scale, -mean_dy * scale, mean)
    return _add_scaled_(grad_x, grad, rounded), sum_dy_xmu * invstd, sum_dy


def fake_backward(
    grad: Tensor, x: Tensor, weight: Tensor, mean: Tensor, invstd: Tensor, counts: Tensor, group: str
) -> Three:
    """Shapes and dtypes alone."""
    return torch.empty_like(x), torch.empty_like(weight), torch.empty_like(weight)


def _affine(x: Tensor, factor: Tensor, offset: Tensor, mean: Tensor) -> Tensor:
    """(x - mean) * factor + offset by channel, on a CPU: batch norm's own kernel is fast in any layout."""
    y: Tensor = torch.native_batch_norm(x, factor, offset, mean, torch.ones_like(mean), False, 0.0, 0.0)[0]
    return y


def _add_scaled_(y: Tensor, x: Tensor, factor: Tensor) -> Tensor:
    """y + x * factor by channel, in place; where channels are innermost in memory, by rows of several pixels."""
    if not y.is_contiguous(memory_format=torch.channels_last):
        return y.addcmul_(x, factor.view(-1, *[1] * (y.ndim - 2)))
    pixels = math.gcd(y.numel() // len(factor), 64)
    rows, others = (t.permute(0, 2, 3, 1).view(-1, pixels * len(factor)) for t in (y, x))
    rows.addcmul_(others, factor.repeat(pixels))
    return y


KERNELS: dict[str, tuple[Callable[..., object], ...]] = {
    "statistics": (cpu_statistics, cuda_statistics, fake_statistics),
    "normalise": (cpu_normalise, cuda_normalise, fake_normalise),
    "backward": (cpu_backward, cuda_backward, fake_backward),
}
for _name, (_cpu, _cuda, _fake) in KERNELS.items():
    torch.library.define(f"calibratemix::{_name}", SCHEMAS[_name])
    torch.library.impl(f"calibratemix::{_name}", "cpu", _cpu)
    torch.library.impl(f"calibratemix::{_name}", "cuda", _cuda)
    torch.library.register_fake(f"calibratemix::{_name}", _fake)
