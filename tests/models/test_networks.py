"""Networks: parameter counts and structure of the reference (FACTS 2.2, 2.3)."""

from contextlib import nullcontext
from typing import Any

import pytest
import torch
import torchvision
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from pipeline import models
from pipeline.config.sections import ModelConfig, OptimizerConfig
from pipeline.models.headed import Parts
from pipeline.models.wide_resnet import Block
from pipeline.training.optimization import build_optimizer


def sizes_alone(name: str) -> Any:
    """No memory and no arithmetic, but for Swin, whose first weights are drawn with a look at values."""
    return nullcontext() if name == "swin-v2-t" else FakeTensorMode()


@pytest.mark.parametrize(
    ("name", "classes", "parameters", "features", "size"),
    [
        ("wrn-28-2", 10, 1_467_626, 128, 32),
        ("wrn-28-8", 100, 23_401_028, 512, 32),
        ("wrn-37-2", 10, 5_929_450, 256, 96),
        ("resnet-50", 1000, 25_557_032, 2048, 96),
        ("resnet-18", 10, 11_173_962, 512, 32),
        ("resnet-34", 10, 21_282_122, 512, 32),
        ("resnet-50", 10, 23_520_842, 2048, 64),
        ("resnet-101", 1000, 44_549_160, 2048, 96),
        ("resnext-101", 1000, 44_177_704, 2048, 96),
        ("densenet-121", 1000, 7_978_856, 1024, 96),
        ("densenet-121", 10, 6_956_426, 1024, 32),
        ("vgg-16", 10, 14_728_266, 512, 96),
        ("swin-v2-t", 1000, 28_351_570, 768, 96),
        ("preact-18", 10, 11_171_146, 512, 32),
        ("preact-34", 10, 21_279_306, 512, 32),
        ("resnet-32", 10, 464_154, 64, 32),
        ("wrn-26-10", 10, 36_481_434, 640, 32),
    ],
)
def test_parameter_counts(name: str, classes: int, parameters: int, features: int, size: int) -> None:
    """Of torchvision's and the literature's own; up to 64 px with the small stem."""
    with sizes_alone(name):
        model = models.build(ModelConfig(name=name), classes, 0, size)
        logits, pooled = model(torch.zeros(2, 3, size, size))
    assert sum(p.numel() for p in model.parameters()) == parameters
    assert (logits.shape, pooled.shape) == ((2, classes), (2, features))


@pytest.mark.parametrize(
    ("name", "first", "second"),
    [
        ("resnet-18", (64, 64, 64), (128, 32, 32)),
        ("densenet-121", (256, 64, 64), (512, 32, 32)),
        ("vgg-16", (64, 32, 32), (128, 16, 16)),
        ("preact-18", (64, 64, 64), (128, 32, 32)),
        ("resnet-32", (16, 64, 64), (32, 32, 32)),
        ("wrn-26-10", (160, 64, 64), (320, 32, 32)),
        ("wrn-37-2", (32, 32, 32), (64, 16, 16)),
        ("swin-v2-t", (16, 16, 96), (8, 8, 192)),
    ],
)
def test_stages_after_which_activations_may_change(name: str, first: Any, second: Any) -> None:
    with sizes_alone(name):
        model = models.build(ModelConfig(name=name), 10, 0, 64)
        for stage, wanted in enumerate((first, second), start=1):
            seen: list[Any] = []
            logits, _ = model(torch.zeros(2, 3, 64, 64), stage, lambda x, seen=seen: seen.append(x) or x)
            assert [tuple(x.shape) for x in seen] == [(2, *wanted)]
            assert logits.shape == (2, 10)


@pytest.mark.parametrize("name", ["wrn-10-1", "resnet-32"])
def test_an_interruption_changes_nothing_by_itself(name: str) -> None:
    model, images = models.build(ModelConfig(name=name), 10, 0, 32), torch.randn(4, 3, 16, 16)
    for stage in (1, 2):
        assert torch.equal(model(images, stage, lambda x: x)[0], model(images)[0])
    assert not torch.equal(model(images, 1, lambda x: x.flip(0))[0], model(images)[0])


def test_a_network_without_stages_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    layers = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    monkeypatch.setitem(models.SMALL_NETWORKS, "bare", lambda classes: Parts(layers, nn.Linear(4, classes)))
    models.check(ModelConfig(name="bare"))
    with pytest.raises(ValueError, match=r"mix=manifold: model.name=bare has no 2 stages .* mixing.layers=0"):
        models.check(ModelConfig(name="bare"), stages=2)
    models.check(ModelConfig(name="wrn-10-1"), stages=2)


def test_decayed_parameters() -> None:
    optimizer = build_optimizer(models.build(ModelConfig(), 10, 0), OptimizerConfig())
    decayed = [g for g in optimizer.param_groups if g["weight_decay"] > 0]
    assert sum(p.numel() for g in decayed for p in g["params"]) == 1_463_984


def test_decayed_parameters_of_resnet() -> None:
    """All convolutions and the head, none of the norms, those of the shortcuts included."""
    model = models.build(ModelConfig(name="resnet-50"), 1000, 0)
    optimizer = build_optimizer(model, OptimizerConfig(weight_decay=3e-4))
    layers = [m.weight for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert [id(p) for p in optimizer.param_groups[0]["params"]] == [id(p) for p in layers]
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    assert len(optimizer.param_groups[1]["params"]) == 2 * len(norms) + 1  # and the head's bias
    assert [g["weight_decay"] for g in optimizer.param_groups] == [3e-4, 0.0]


def test_resnet_is_torchvisions() -> None:
    """Same draws, same network; the features are what its head sees."""
    ours = models.build(ModelConfig(name="resnet-50", norm_momentum=0.1), 10, seed=3).eval()
    torch.manual_seed(3)
    theirs = torchvision.models.resnet50(num_classes=10).eval()
    images = torch.randn(2, 3, 64, 64)
    logits, features = ours(images)
    torch.testing.assert_close(logits, theirs(images))
    torch.testing.assert_close(logits, ours.head(features))
    assert {(m.eps, m.momentum) for m in ours.modules() if isinstance(m, nn.BatchNorm2d)} == {(1e-5, 0.1)}


def test_resnet_convolutions_start_as_kaiming_fan_out() -> None:
    for layer in models.build(ModelConfig(name="resnet-50"), 10, 0).modules():
        if isinstance(layer, nn.Conv2d) and layer.weight.numel() > 50_000:
            fan_out = layer.out_channels * layer.kernel_size[0] * layer.kernel_size[1]
            assert layer.weight.std().item() == pytest.approx((2 / fan_out) ** 0.5, rel=0.02)


def test_batch_norm_constants() -> None:
    model = models.build(ModelConfig(), 10, 0)
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    assert [m.eps for m in norms[:-1]] == [1e-5] * (len(norms) - 1)
    assert norms[-1].eps == 1e-3
    assert {m.momentum for m in norms} == {0.001}


def reference_block(block: Block, x: torch.Tensor, first_group: bool) -> torch.Tensor:
    """The reference's forward, written from FACTS: the activation of a width change is thrown away."""
    act = nn.LeakyReLU(0.1)
    activated = act(block.norm1(x))
    if not block.same and first_group:
        x = activated
    out = block.conv1(activated if block.same else x)
    out = block.conv2(act(block.norm2(out)))
    return out + (x if block.shortcut is None else block.shortcut(x))


@pytest.mark.parametrize(("inside", "out", "first"), [(16, 16, True), (16, 32, True), (32, 64, False), (64, 64, False)])
def test_block_equals_the_reference(inside: int, out: int, first: bool) -> None:
    block = Block(inside, out, 2 if inside != out else 1, first, True, "batch", 0.1).double()
    for norm in (block.norm1, block.norm2):
        nn.init.uniform_(norm.weight), nn.init.uniform_(norm.bias)
    x = torch.randn(3, inside, 8, 8, dtype=torch.float64)
    torch.testing.assert_close(block(x.clone()), reference_block(block, x, first))


def test_dead_preactivation_is_a_choice() -> None:
    dead = models.build(ModelConfig(name="wrn-10-1"), 10, 0)
    live = models.build(ModelConfig(name="wrn-10-1", dead_preactivation=False), 10, 0)
    frozen = [n for n, p in dead.named_parameters() if not p.requires_grad]
    assert frozen == ["blocks.1.norm1.weight", "blocks.1.norm1.bias", "blocks.2.norm1.weight", "blocks.2.norm1.bias"]
    assert all(p.requires_grad for p in live.parameters())
    x = torch.randn(2, 3, 32, 32)
    for parameter in live.get_submodule("blocks.1.norm1").parameters():
        nn.init.constant_(parameter, 0.5)
    assert not torch.equal(dead(x)[0], live(x)[0])


@pytest.mark.parametrize("name", ["wrn-10-1", "resnet-50"])
def test_group_norm_has_no_buffers(name: str) -> None:
    model = models.build(ModelConfig(name=name, norm="group"), 10, 0)
    assert not list(model.buffers())
    assert model(torch.zeros(1, 3, 32, 32))[0].shape == (1, 10)


@pytest.mark.parametrize("name", [*models.PHOTO_NAMES, *models.SMALL_NETWORKS])
def test_options_of_norms_reach_every_network(name: str) -> None:
    norms = [nn.BatchNorm2d, nn.GroupNorm]
    for norm in norms:
        with sizes_alone(name):
            config = ModelConfig(name=name, norm=norm.__name__[:5].lower(), norm_momentum=0.3)
            model = models.build(config, 10, 0, image_size=32)
        found = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d | nn.GroupNorm)]
        assert all(isinstance(m, norm) for m in found)
        assert found or name == "swin-v2-t"  # it has layer norm
        assert {m.momentum for m in found if isinstance(m, nn.BatchNorm2d)} <= {0.3}


def test_the_small_stem_keeps_the_size() -> None:
    """32 px reach the first stage as 32 px; from 65 px on as a quarter."""
    for size, wanted in ((32, 32), (64, 64), (65, 17)):
        model = models.build(ModelConfig(name="resnet-18"), 10, 0, size)
        seen: list[int] = []
        model.body.layer1.register_forward_pre_hook(lambda _, given, seen=seen: seen.append(given[0].shape[-1]))
        model(torch.zeros(1, 3, size, size))
        assert seen == [wanted]


def test_what_is_too_small_for_a_network() -> None:
    """VGG-16 halves five times: torch's own error would come with the first step."""
    models.check(ModelConfig(name="vgg-16"), 32)
    with pytest.raises(ValueError, match=r"^model.name=vgg-16: nothing would be left of images of 28 px; .*-size 32$"):
        models.check(ModelConfig(name="vgg-16"), 28)


@pytest.mark.parametrize("name", ["wrn-28-2", "wrn-37-2", "resnet-18", "preact-18", "resnet-32"])
def test_images_of_28_px(name: str) -> None:
    """Fashion-MNIST's: no multiple of the strides, and none of these needs one."""
    with sizes_alone(name):
        logits, features = models.build(ModelConfig(name=name), 10, 0, 28)(torch.zeros(2, 3, 28, 28))
    assert logits.shape == (2, 10) and features.ndim == 2


@pytest.mark.parametrize("name", ["wrn-10-1", "resnet-32"])
def test_dropout_is_for_training_and_before_the_head(name: str) -> None:
    images = torch.randn(4, 3, 32, 32)
    plain, dropped = (models.build(ModelConfig(name=name, dropout=p), 10, 0) for p in (0.0, 0.5))
    torch.testing.assert_close(dropped.eval()(images), plain.eval()(images))
    torch.manual_seed(0)
    logits, features = dropped.train()(images)
    torch.manual_seed(0)
    torch.testing.assert_close(logits, dropped.head(nn.functional.dropout(features, 0.5)))


@pytest.mark.parametrize("name", ["wrn-10-1", *models.PHOTO_NAMES, *models.SMALL_NETWORKS])
def test_networks_that_draw_are_known(name: str) -> None:
    """A run seeds torch's generators each step for them, else it would not be the same when resumed."""
    with torch.device("meta"):
        modules = list(models.build(ModelConfig(name=name), 10, 0).modules())
    drawing = any(m.p > 0 for m in modules if isinstance(m, torchvision.ops.StochasticDepth | nn.Dropout))
    assert models.draws(ModelConfig(name=name)) == drawing
    assert models.draws(ModelConfig(name=name, dropout=0.1))


def test_weights_are_a_function_of_the_seed() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    one, same, other = (models.build(ModelConfig(name="wrn-10-1"), 10, seed) for seed in (1, 1, 2))
    assert torch.equal(one.head.weight, same.head.weight)
    assert not torch.equal(one.head.weight, other.head.weight)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("name", ["wrn-10-1", "resnet-50"])
def test_logits_stay_float32_under_autocast(name: str) -> None:
    model = models.build(ModelConfig(name=name), 10, 0)
    with torch.autocast("cpu", torch.bfloat16):
        logits, features = model(torch.randn(2, 3, 32, 32))
    assert logits.dtype == features.dtype == torch.float32


@pytest.mark.parametrize("name", ["wrn-11-2", "wrn-28", "resnet", "resnet-19", "wrn-10-0", "wrn-37-1"])
def test_unknown_names(name: str) -> None:
    with pytest.raises(ValueError, match=r"unknown model '.*'; known: wrn-.* wrn-26-10$"):
        models.check(ModelConfig(name=name))


@pytest.mark.parametrize("name", ["wrn-10-1", "wrn-28-8", "wrn-37-2", "resnet-50"])
def test_known_names(name: str) -> None:
    models.check(ModelConfig(name=name))


@pytest.mark.parametrize("name", ["wrn-10-1", "resnet-50"])
def test_gradients_have_the_strides_of_their_weights(name: str) -> None:
    """1x1 convolutions too, whose memory is both NCHW and channels_last: DDP warns and copies where strides differ."""
    model = models.network(ModelConfig(name=name), 10, 0, 32, torch.device("cpu"), torch.float32)
    logits, _ = model(torch.randn(2, 3, 32, 32).contiguous(memory_format=torch.channels_last))
    logits.sum().backward()
    odd = [n for n, p in model.named_parameters() if p.grad is not None and p.grad.stride() != p.stride()]
    assert odd == []
