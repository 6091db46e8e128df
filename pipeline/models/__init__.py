"""Networks by name. A new one is a function that makes its body and its head, and a line in a registry."""

from functools import partial

import torch
from torch import nn

from pipeline.config.options import ModelConfig
from pipeline.models.headed import Headed, Parts, replace_norms
from pipeline.models.small_networks import SMALL_NETWORKS
from pipeline.models.wide_resnet import WIDE_NAMES, norm_layer, wide_resnet, wide_shape

# Their file imports torchvision's, which costs a second that others need not wait for.
PHOTO_NAMES = (
    "resnet-18", "resnet-34", "resnet-50", "resnet-101", "resnext-101", "densenet-121", "vgg-16", "swin-v2-t",
)  # fmt: skip
SMALL_IMAGES = 64  # pixels up to which a network for photos has the stem for small images
PHOTOS = 224
SMALLEST_IMAGES = {"vgg-16": 32}  # pixels; it halves five times, and others halve less or round up
EPS = 1e-5  # torch's default, as the references


def check(name: str, image_size: int = PHOTOS) -> None:
    """ValueError where there is no such network, or images of so many pixels are too small for it."""
    if name not in (*PHOTO_NAMES, *SMALL_NETWORKS) and wide_shape(name) is None:
        known = f"{WIDE_NAMES}; {', '.join((*PHOTO_NAMES, *SMALL_NETWORKS))}"
        raise ValueError(f"model.name: unknown model {name!r}; known: {known}")
    if image_size < (smallest := SMALLEST_IMAGES.get(name, 1)):
        raise ValueError(
            f"model.name={name}: nothing would be left of images of {image_size} px; choose another network, or make "
            f"the data folder with --image-size {smallest}"
        )


def build(config: ModelConfig, num_classes: int, seed: int, image_size: int = PHOTOS) -> nn.Module:
    """The network of ``config.name`` with weights drawn from ``seed``, on the CPU in float32. Raises ValueError.

    It has a linear ``head``, and makes (logits [B, C], features [B, D]) of images [B, 3, H, W]. ``image_size``: in
    pixels, chooses the stem of networks that have two.
    """
    check(config.name, image_size)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if config.name not in (*PHOTO_NAMES, *SMALL_NETWORKS):
            return wide_resnet(config, num_classes)
        body, head = _parts(config.name, num_classes, image_size <= SMALL_IMAGES)
    norm = partial(norm_layer, norm=config.norm, momentum=config.norm_momentum, eps=EPS)
    return Headed(replace_norms(body, norm), head, config.dropout)


def _parts(name: str, num_classes: int, small: bool) -> Parts:
    if name in SMALL_NETWORKS:
        return SMALL_NETWORKS[name](num_classes)
    from pipeline.models.photo_networks import PHOTO_NETWORKS

    return PHOTO_NETWORKS[name](num_classes, small)


def network(
    config: ModelConfig, num_classes: int, seed: int, image_size: int, device: torch.device, dtype: torch.dtype
) -> nn.Module:
    """The network as runs train and restore it: on ``device``, in ``dtype`` and channels_last. Raises ValueError."""
    model = build(config, num_classes, seed, image_size)
    return model.to(device, dtype).to(memory_format=torch.channels_last)
