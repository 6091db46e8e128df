"""A network for timm's registry with a parameter that nothing reads, as some of timm's own have."""

from typing import Any

import timm
import torch
from torch import nn


def with_unread_token(**options: Any) -> nn.Module:
    """timm's smallest ConvNeXt and a token."""
    network: nn.Module = timm.create_model("test_convnext", **options)
    network.token = nn.Parameter(torch.ones(3))
    return network


timm.models.register_model(with_unread_token)
NAME = "with_unread_token"
