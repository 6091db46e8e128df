"""Networks by name. A new one is a function that makes its body and its head, and a line in a registry."""

from functools import partial

import torch
from torch import nn

from pipeline.config.sections import ModelConfig
from pipeline.models.backbones import backbone, check_images, check_name, is_backbone, unread
from pipeline.models.frozen_norm import freeze_norms
from pipeline.models.headed import Headed, Parts, replace_norms
from pipeline.models.small_networks import SMALL_NETWORKS
from pipeline.models.wide_resnet import WIDE_NAMES, WideResNet, norm_layer, wide_resnet, wide_shape

# Their file imports torchvision's, which costs a second that others need not wait for.
PHOTO_NAMES = (
    "resnet-18", "resnet-34", "resnet-50", "resnet-101", "resnext-101", "densenet-121", "vgg-16", "swin-v2-t",
)  # fmt: skip
SKIPPING = ("swin-v2-t",)  # leave out blocks at random in training
SMALL_IMAGES = 64  # pixels up to which a network for photos has the stem for small images
PHOTOS = 224
SMALLEST_IMAGES = {"vgg-16": 32}  # pixels; it halves five times, and others halve less or round up
EPS = 1e-5  # torch's default, as the references


def check(config: ModelConfig, image_size: int = PHOTOS, stages: int = 0) -> None:
    """ValueError where there is no such network, it takes no such images, or cannot be cut after so many stages."""
    name = config.name
    if is_backbone(name):
        check_name(name)
        check_images(config, image_size)
    elif name not in (*PHOTO_NAMES, *SMALL_NETWORKS) and wide_shape(name) is None:
        known = f"{WIDE_NAMES}; timm/NAME; {', '.join((*PHOTO_NAMES, *SMALL_NETWORKS))}"
        raise ValueError(f"model.name: unknown model {name!r}; known: {known}")
    if image_size < (smallest := SMALLEST_IMAGES.get(name, 1)):
        raise ValueError(
            f"model.name={name}: nothing would be left of images of {image_size} px; choose another network, or make "
            f"the data folder with --image-size {smallest}"
        )
    if stages and len(shapes(config, 2, image_size).cuts) < stages:
        raise ValueError(
            f"mix=manifold: model.name={name} has no {stages} stages with a name: choose mixing.layers=0 or mix=mixup"
        )


def shapes(config: ModelConfig, num_classes: int, image_size: int = PHOTOS) -> Headed | WideResNet:
    """The network without memory for its weights."""
    with torch.device("meta"):
        return build(config, num_classes, 0, image_size)


def build(config: ModelConfig, num_classes: int, seed: int, image_size: int = PHOTOS) -> Headed | WideResNet:
    """The network of ``config.name`` with weights drawn from ``seed``, on the CPU in float32. Raises ValueError.

    It has a linear ``head``, and makes (logits [B, C], features [B, D]) of images [B, 3, H, W]. ``image_size``: in
    pixels, chooses the stem of networks that have two, and the positions of timm's that have one for each.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = _built(config, num_classes, image_size)
    if config.freeze_norm:
        freeze_norms(network)
    return network


def _built(config: ModelConfig, num_classes: int, image_size: int) -> Headed | WideResNet:
    if is_backbone(config.name):
        network = Headed(backbone(config, num_classes, image_size), config.dropout)
        for name in unread(config, image_size):
            network.body.get_parameter(name).requires_grad_(False)  # DDP would wait for its gradient
        return network
    check(config, image_size)
    if config.name not in (*PHOTO_NAMES, *SMALL_NETWORKS):
        return wide_resnet(config, num_classes)
    parts = _parts(config.name, num_classes, image_size <= SMALL_IMAGES)
    norm = partial(norm_layer, norm=config.norm, momentum=config.norm_momentum, eps=EPS)
    replace_norms(parts.body, norm)
    return Headed(parts, config.dropout)


def _parts(name: str, num_classes: int, small: bool) -> Parts:
    if name in SMALL_NETWORKS:
        return SMALL_NETWORKS[name](num_classes)
    from pipeline.models.photo_networks import PHOTO_NETWORKS

    return PHOTO_NETWORKS[name](num_classes, small)


def draws(config: ModelConfig) -> bool:
    """Whether the network in training asks torch for random numbers; one of timm's may have dropout by default."""
    return config.dropout > 0 or config.name in SKIPPING or is_backbone(config.name)


def network(
    config: ModelConfig, num_classes: int, seed: int, image_size: int, device: torch.device, dtype: torch.dtype
) -> nn.Module:
    """The network as runs train and restore it: on ``device``, in ``dtype`` and channels_last. Raises ValueError."""
    model = build(config, num_classes, seed, image_size)
    return model.to(device, dtype).to(memory_format=torch.channels_last)
