"""A network filled with sines, whose outputs are known to five digits: the oracle of tests on the U-Net."""

import math

import torch
from torch import Tensor, nn

from pipeline.generator.unet import NetworkSize

SMALL = NetworkSize(16, 4, 16, (1, 2), 1, (8,))
CIFAR10 = NetworkSize(32, 10, 128, (2, 2, 2), 4, (16,), augment=9)
ORACLE = {  # D[0,0,0,:5], D[1,2,5,:5], mean, standard deviation
    SMALL: (
        (0.06963, 0.12228, 0.10364, 0.06512, 0.04095),
        (-0.10399, -0.05207, -0.07351, -0.11062, -0.13932),
        -0.049283,
        0.188615,
    ),
    CIFAR10: (
        (-0.03075, -0.02991, -0.01832, -0.00903, -0.00081),
        (0.06572, 0.03506, 0.01164, -0.01205, -0.03615),
        -0.0072643,
        0.1304209,
    ),
}


def fill(network: nn.Module) -> None:
    """Parameter number i is sin(.37 k + 1.3 i) over its elements k, scaled by its shape and name."""
    for i, (name, parameter) in enumerate(network.named_parameters()):
        k = torch.arange(parameter.numel(), dtype=torch.float64)
        values = torch.sin(0.37 * k + 1.3 * i).reshape(parameter.shape)
        values = values / math.sqrt(parameter[0].numel()) if parameter.ndim > 1 else values * 0.1
        values += parameter.ndim == 1 and name.endswith("weight")
        parameter.data = values.float()


def inputs(size: NetworkSize) -> tuple[Tensor, Tensor, Tensor]:
    """x [2, 3, S, S], sigma [2], labels [2, K]."""
    count = 2 * 3 * size.resolution**2
    x = torch.sin(0.11 * torch.arange(count, dtype=torch.float64)).reshape(2, 3, size.resolution, size.resolution)
    sigma = torch.tensor([2.0, 0.3])
    labels = torch.zeros(2, size.classes)
    labels[0, 1], labels[0, 3], labels[1, 0] = 0.25, 0.75, 1.0
    return x.float() * sigma[:, None, None, None], sigma, labels


def agrees(network: nn.Module, size: NetworkSize) -> bool:
    """Whether the filled ``network`` gives the oracle's numbers to 2e-5."""
    with torch.no_grad():
        out = network.eval()(*inputs(size))
    first, second, mean, deviation = ORACLE[size]
    found = torch.cat([out[0, 0, 0, :5], out[1, 2, 5, :5], out.mean()[None], out.std()[None]])
    return bool((found - torch.tensor([*first, *second, mean, deviation])).abs().max() < 2e-5)
