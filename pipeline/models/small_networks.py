"""Networks that the calibration literature trains on images of 32 px, written from the papers: all end in a mean.

preact-18, preact-34: pre-activation ResNets (He et al. 2016b) as public code of 2018 has them, without a final norm.
resnet-32: 6n + 2 layers of widths 16, 32, 64 with parameter-free shortcuts (He et al. 2016, option A), for long tails.
wrn-26-10: what focal_calibration calls Wide-ResNet-26-10: post-activation blocks, four a stage.
"""

from collections.abc import Callable
from functools import partial

import torch.nn.functional as F
from torch import Tensor, nn

from pipeline.models.headed import Parts

Block = Callable[[int, int, int], nn.Module]  # channels in, channels out, stride


def conv(inside: int, out: int, stride: int = 1, size: int = 3) -> nn.Conv2d:
    """Without bias: a norm follows or comes before."""
    return nn.Conv2d(inside, out, size, stride, size // 2, bias=False)


class PreActivation(nn.Module):
    """norm, ReLU, 3x3, norm, ReLU, 3x3; where the shape changes, a 1x1 shortcut from the first activation."""

    def __init__(self, inside: int, out: int, stride: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.BatchNorm2d(inside), nn.BatchNorm2d(out)
        self.conv1, self.conv2 = conv(inside, out, stride), conv(out, out)
        self.shortcut = conv(inside, out, stride, 1) if stride != 1 or inside != out else None

    def forward(self, x: Tensor) -> Tensor:
        """[B, inside, H, W] -> [B, out, H / stride, W / stride]."""
        active = F.relu(self.norm1(x))
        if self.shortcut is not None:
            x = self.shortcut(active)
        changed: Tensor = self.conv2(F.relu(self.norm2(self.conv1(active))))
        return changed + x


class PostActivation(nn.Module):
    """3x3, norm, ReLU, 3x3, norm, add, ReLU; where the shape changes, 1x1 and norm, or zeros for the new channels."""

    def __init__(self, inside: int, out: int, stride: int, padded: bool) -> None:
        super().__init__()
        self.conv1, self.conv2 = conv(inside, out, stride), conv(out, out)
        self.norm1, self.norm2 = nn.BatchNorm2d(out), nn.BatchNorm2d(out)
        self.stride, self.missing = stride, out - inside
        changes = stride != 1 or inside != out
        self.padded = padded and changes
        projection = changes and not padded
        self.shortcut = nn.Sequential(conv(inside, out, stride, 1), nn.BatchNorm2d(out)) if projection else None

    def forward(self, x: Tensor) -> Tensor:
        """[B, inside, H, W] -> [B, out, H / stride, W / stride]."""
        changed = self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x)))))
        if self.shortcut is not None:
            x = self.shortcut(x)
        elif self.padded:
            before = self.missing // 2
            x = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, before, self.missing - before))
        return F.relu(changed + x)


def _stages(block: Block, inside: int, widths: list[int], blocks: list[int]) -> nn.Sequential:
    """The first stage keeps the size, each further one halves it."""
    layers = []
    for stage, (width, count) in enumerate(zip(widths, blocks, strict=True)):
        for i in range(count):
            layers.append(block(inside, width, 2 if stage and i == 0 else 1))
            inside = width
    return nn.Sequential(*layers)


def preact(num_classes: int, blocks: list[int]) -> Parts:
    """PreAct-ResNet of that many blocks a stage."""
    stages = _stages(PreActivation, 64, [64, 128, 256, 512], blocks)
    return _finished([conv(3, 64)], stages, blocks, 512, num_classes)


def post_activation(num_classes: int, widths: list[int], blocks: int, padded: bool) -> Parts:
    """A stem of 16 channels and three stages."""
    stages = _stages(partial(PostActivation, padded=padded), 16, widths, [blocks] * 3)
    stem = [conv(3, 16), nn.BatchNorm2d(16), nn.ReLU(inplace=True)]
    return _finished(stem, stages, [blocks] * 3, widths[-1], num_classes)


def _finished(stem: list[nn.Module], stages: nn.Sequential, blocks: list[int], width: int, num_classes: int) -> Parts:
    """Pooled, and initialised as torchvision's ResNets; the head as torch's default."""
    body = nn.Sequential(*stem, stages, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    for module in body.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    ends = stages[blocks[0] - 1], stages[blocks[0] + blocks[1] - 1]
    return Parts(body, nn.Linear(width, num_classes), ends)


SMALL_NETWORKS: dict[str, Callable[[int], Parts]] = {
    "preact-18": lambda classes: preact(classes, [2, 2, 2, 2]),
    "preact-34": lambda classes: preact(classes, [3, 4, 6, 3]),
    "resnet-32": lambda classes: post_activation(classes, [16, 32, 64], 5, padded=True),
    "wrn-26-10": lambda classes: post_activation(classes, [160, 320, 640], 4, padded=False),
}
