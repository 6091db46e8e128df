"""Networks by name. A new one is a file with a class, and a line in NETWORKS."""

from collections.abc import Callable

import torch
from torch import nn

from pipeline.config.options import ModelConfig
from pipeline.models.wide_resnet import WIDE_NAMES, wide_resnet, wide_shape

# (options, number of classes) -> a network with a linear ``head``: images [B, 3, H, W] -> (logits [B, C], features).
NetworkFactory = Callable[[ModelConfig, int], nn.Module]


def _resnet_50(config: ModelConfig, num_classes: int) -> nn.Module:
    from pipeline.models.resnet import ResNet50  # torchvision costs a second that others need not wait for

    return ResNet50(num_classes, config.norm, config.norm_momentum)


NETWORKS: dict[str, NetworkFactory] = {  # beside the family wrn-D-K
    "resnet-50": _resnet_50,
}


def check(name: str) -> None:
    """ValueError where there is no such network."""
    if name not in NETWORKS and wide_shape(name) is None:
        known = f"{WIDE_NAMES}; {', '.join(NETWORKS)}"
        raise ValueError(f"model.name: unknown model {name!r}; known: {known}")


def build(config: ModelConfig, num_classes: int, seed: int) -> nn.Module:
    """The network of ``config.name`` with weights drawn from ``seed``, on the CPU in float32. Raises ValueError."""
    check(config.name)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return NETWORKS.get(config.name, wide_resnet)(config, num_classes)


def network(config: ModelConfig, num_classes: int, seed: int, device: torch.device, dtype: torch.dtype) -> nn.Module:
    """The network as runs train and restore it: on ``device``, in ``dtype`` and channels_last. Raises ValueError."""
    return build(config, num_classes, seed).to(device, dtype).to(memory_format=torch.channels_last)
