"""torchvision's networks with their initialisation: ResNet, ResNeXt, DenseNet, VGG with batch norm, Swin V2.

Each is a Sequential of torchvision's parts under their names, so that it can be interrupted after a stage. ``small`` is
this literature's stem for images of up to 64 px: a 3x3 convolution of stride 1, and no pooling after it.
"""

from collections import OrderedDict
from collections.abc import Callable

import torchvision.models as zoo
from torch import Tensor, nn
from torchvision.models.resnet import Bottleneck, ResNet

from pipeline.models.headed import Parts


def resnet(make: Callable[..., ResNet], num_classes: int, small: bool) -> Parts:
    """He et al. 2016, with the stride in the 3x3 convolution of a bottleneck."""
    body = make(num_classes=num_classes)
    if small:
        body.conv1, body.maxpool = _small_stem(), nn.Identity()  # type: ignore[assignment]
    head = body.fc
    body.fc = nn.Flatten()  # type: ignore[assignment]
    return Parts(_in_a_row(body), head, (body.layer1, body.layer2))


def resnext101(num_classes: int) -> ResNet:
    """ResNeXt-101 32x4d (Xie et al. 2017), of which torchvision has the blocks and no name."""
    return ResNet(Bottleneck, [3, 4, 23, 3], num_classes, groups=32, width_per_group=4)


def densenet121(num_classes: int, small: bool) -> Parts:
    """Huang et al. 2017."""
    body = zoo.densenet121(num_classes=num_classes)
    if small:
        body.features.conv0, body.features.pool0 = _small_stem(), nn.Identity()
    last = {"relu": nn.ReLU(inplace=True), "pool": nn.AdaptiveAvgPool2d(1), "flatten": nn.Flatten()}
    row = nn.Sequential(OrderedDict(features=body.features, **last))
    return Parts(row, body.classifier, (body.features.denseblock1, body.features.denseblock2))


def vgg16(num_classes: int) -> Parts:
    """Simonyan & Zisserman 2015 with batch norm, averaged over the image and one linear layer, as for small images."""
    features = zoo.vgg16_bn(num_classes=num_classes, init_weights=True).features
    head = nn.Linear(512, num_classes)
    nn.init.normal_(head.weight, 0, 0.01)
    nn.init.zeros_(head.bias)
    pools = [layer for layer in features if isinstance(layer, nn.MaxPool2d)]
    return Parts(nn.Sequential(features, nn.AdaptiveAvgPool2d(1), nn.Flatten()), head, pools[:2])


def swin_v2_t(num_classes: int) -> Parts:
    """Liu et al. 2022: windows of 8 x 8 patches of 4 x 4 pixels, so images of 256 px, or any, padded."""
    body = zoo.swin_v2_t(num_classes=num_classes)
    head = body.head
    assert isinstance(head, nn.Linear)
    del body.head
    row = nn.Sequential(OrderedDict(layout=_ChannelsFirst(), network=_in_a_row(body)))
    return Parts(row, head, (body.features[1], body.features[3]))


class _ChannelsFirst(nn.Module):
    """Keeps a network that works on [B, H, W, C] inside from complaining about channels_last images."""

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] in any layout -> the same, contiguous."""
        return x.contiguous()


def _in_a_row(network: nn.Module) -> nn.Sequential:
    """The parts of a network that runs them in order, by the same names."""
    return nn.Sequential(OrderedDict(network.named_children()))


def _small_stem() -> nn.Conv2d:
    stem = nn.Conv2d(3, 64, 3, 1, 1, bias=False)
    nn.init.kaiming_normal_(stem.weight, mode="fan_out", nonlinearity="relu")
    return stem


PHOTO_NETWORKS: dict[str, Callable[[int, bool], Parts]] = {
    "resnet-18": lambda classes, small: resnet(zoo.resnet18, classes, small),
    "resnet-34": lambda classes, small: resnet(zoo.resnet34, classes, small),
    "resnet-50": lambda classes, small: resnet(zoo.resnet50, classes, small),
    "resnet-101": lambda classes, small: resnet(zoo.resnet101, classes, small),
    "resnext-101": lambda classes, small: resnet(resnext101, classes, small),
    "densenet-121": densenet121,
    "vgg-16": lambda classes, small: vgg16(classes),
    "swin-v2-t": lambda classes, small: swin_v2_t(classes),
}
