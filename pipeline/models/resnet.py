"""ResNet-50 for photos: torchvision's network (He et al. 2016, stride in the 3x3 convolution), its head set apart."""

from functools import partial

import torch
import torchvision
from torch import Tensor, nn

from pipeline.models.wide_resnet import norm_layer

EPS = 1e-5  # torch's default, as the reference


class ResNet50(nn.Module):
    """Images [B, 3, H, W] -> (logits [B, C] in float32 or better, pooled features [B, 2048]).

    torchvision's initialisation: convolutions Kaiming normal over fan-out for ReLU, norms 1 and 0. ``norm_momentum``:
    torch's convention; the reference has .1.
    """

    def __init__(self, num_classes: int, norm: str = "batch", norm_momentum: float = 0.1) -> None:
        super().__init__()
        norms = partial(norm_layer, norm=norm, momentum=norm_momentum, eps=EPS)
        self.body = torchvision.models.resnet50(num_classes=num_classes, norm_layer=norms)
        self.head = self.body.fc
        self.body.fc = nn.Identity()

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The head runs outside autocast: float16 or bfloat16 logits would quantise margins and confidences."""
        features = self.body(x)
        with torch.autocast(x.device.type, enabled=False):
            features = features.to(self.head.weight.dtype)
            return self.head(features), features
