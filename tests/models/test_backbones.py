"""Networks of timm: body, head and features; what is refused; and batch norm with an activation inside."""

import sys
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pipeline import models
from pipeline.config.sections import ModelConfig, OptimizerConfig
from pipeline.distributed import Ranks
from pipeline.models.backbones import backbone, native_size, network_statistics, unread
from pipeline.models.frozen_norm import FrozenBatchNorm, freeze_norms
from pipeline.models.numerics import Numerics
from pipeline.models.shared_batch_norm import SharedBatchNorm, share_statistics
from pipeline.training.optimization import build_optimizer, optimizer_state
from tests.support.ranks import on_ranks

timm = pytest.importorskip("timm")
SMALL = ("timm/test_vit", "timm/test_convnext", "timm/test_efficientnet")


def made(name: str, **options: Any) -> Any:
    return models.build(ModelConfig(name=name, **options), 10, 0, 32)


@pytest.mark.parametrize("name", SMALL)
def test_features_are_those_of_the_pooled_layer(name: str) -> None:
    network, images = made(name).eval(), torch.randn(2, 3, 32, 32)
    logits, features = network(images)
    torch.testing.assert_close(logits, network.head(features))
    body = network.body
    torch.testing.assert_close(features, body.forward_head(body.forward_features(images), pre_logits=True))
    assert logits.shape == (2, 10) and features.shape == (2, network.head.in_features)


def test_weights_are_a_function_of_the_seed() -> None:
    config = ModelConfig(name=SMALL[0])
    one, same, other = (models.build(config, 10, seed, 32).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["head.weight"], other["head.weight"])


def test_networks_that_the_config_asks_for() -> None:
    """The shapes of USB's ViT-S/2 at 32 px; two heads become one; norms follow model.norm_momentum, with their eps."""
    vit = models.shapes(ModelConfig(name="timm/vit_small_patch16_224", patch_size=2, drop_path=0.2), 100, 32)
    assert vit.state_dict()["body.pos_embed"].shape == (1, 16 * 16 + 1, 384)
    assert vit.body.blocks[11].drop_path1.drop_prob == pytest.approx(0.2)
    assert models.shapes(ModelConfig(name="timm/deit_tiny_distilled_patch16_224"), 7, 32).head.out_features == 7
    norms = [m for m in made(SMALL[2], norm_momentum=0.3).modules() if isinstance(m, nn.BatchNorm2d)]
    assert {m.momentum for m in norms} == {0.3} and {m.eps for m in norms} == {1e-5}
    assert models.draws(ModelConfig(name=SMALL[0]))


@pytest.mark.parametrize(
    ("options", "size", "stages", "message"),
    [
        (
            {"name": "timm/vit_tini_patch16_224"},
            32,
            0,
            "has no network 'vit_tini_patch16_224'; did you mean timm/vit_tiny_",
        ),
        ({"name": "timm/test_vit"}, 30, 0, "patches of 16 px do not fill images of 30 px; .* --image-size 32"),
        ({"name": "timm/resnet18", "patch_size": 4}, 32, 0, "refuses images of 32 px, model.patch_size=4 "),
        ({"name": "timm/vgg11_bn"}, 16, 0, "model.name=timm/vgg11_bn: refuses images of 16 px"),
        ({"name": "timm/test_vit"}, 32, 2, "mix=manifold: model.name=timm/test_vit has no 2 stages"),
    ],
)
def test_what_is_refused_before_a_start(options: dict[str, Any], size: int, stages: int, message: str) -> None:
    with pytest.raises(ValueError, match=message) as raised:
        models.check(ModelConfig(**options), size, stages)
    assert "\n" not in str(raised.value)


def test_what_nothing_reads_is_not_trained() -> None:
    """On any number of ranks, so that a checkpoint of one has what a checkpoint of several has."""
    config = ModelConfig(name=f"timm/{pytest.importorskip('tests.support.unread_token').NAME}")
    with torch.inference_mode():
        assert unread(config, 32) == {"token"}
    assert unread(ModelConfig(name="timm/test_convnext"), 32) == set()
    network = models.build(config, 10, 0, 32)
    optimizer = build_optimizer(network, OptimizerConfig())
    kept = set(optimizer_state(optimizer, network)["momentum"])
    assert kept == {name for name, _ in network.named_parameters()} - {"body.token"}
    assert native_size(config.name) is None
    with pytest.raises(ValueError, match="timm has no mean and deviation for timm/with_unread_token"):
        network_statistics(config.name)


def test_without_timm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(
        ValueError, match=r"^model.name=timm/resnet18: timm is not installed; pip install '.*\[timm\]'$"
    ):
        models.check(ModelConfig(name="timm/resnet18"))


def test_normalisation_and_size_of_its_own() -> None:
    assert network_statistics("timm/vit_tiny_patch16_224") == ((0.5,) * 3, (0.5,) * 3)
    assert native_size("timm/test_vit") == 160
    nothing: Any = None
    numbers = Numerics("fp64", nothing, torch.device("cpu"), "timm", "timm/vit_tiny_patch16_224")
    white = torch.full((1, 3, 2, 2), 255, dtype=torch.uint8)
    torch.testing.assert_close(numbers.normalise(white), torch.ones(1, 3, 2, 2, dtype=torch.float64))


def norm_with_activation() -> tuple[nn.Sequential, Tensor]:
    """timm's BatchNormAct2d, with statistics and weights that are not those of the start; images on both sides of 0."""
    torch.manual_seed(3)
    norm = timm.layers.BatchNormAct2d(4, momentum=0.3).double()
    for value in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
        nn.init.uniform_(value, 0.5, 2)
    return nn.Sequential(norm), torch.randn(6, 4, 3, 3, dtype=torch.float64) * 2 + 1


def test_frozen_batch_norm_keeps_everything_and_its_activation() -> None:
    plain, x = norm_with_activation()
    expected, state = plain.eval()(x), {name: value.clone() for name, value in plain.state_dict().items()}
    frozen = freeze_norms(plain).train()
    assert isinstance(frozen[0], FrozenBatchNorm) and not list(frozen.parameters())
    torch.testing.assert_close(frozen(x), expected, rtol=0, atol=0)
    assert (expected == 0).any(), "the activation was not at work"
    assert {name: value.tolist() for name, value in frozen.state_dict().items()} == {
        name: value.tolist() for name, value in state.items()
    }


def part(ranks: Ranks) -> tuple[Tensor, Tensor, Tensor]:
    """This rank's outputs and gradient, and the running mean, of a shared norm with an activation."""
    plain, x = norm_with_activation()
    shared = share_statistics(plain, ranks.world).train()
    assert isinstance(shared[0], SharedBatchNorm)
    mine = x.chunk(ranks.world)[ranks.rank].clone().requires_grad_()
    y = shared(mine)
    y.square().sum().backward()
    assert mine.grad is not None
    return y.detach(), mine.grad, shared[0].running_mean


@pytest.mark.xdist_group("ranks")
def test_shared_batch_norm_keeps_the_activation() -> None:
    plain, x = norm_with_activation()
    x = x.requires_grad_()
    y = plain.train()(x)
    y.square().sum().backward()
    parts = on_ranks(2, part)
    for got, wanted in zip(zip(*parts, strict=True), (y.detach(), x.grad), strict=False):
        torch.testing.assert_close(torch.cat(got), wanted)
    torch.testing.assert_close(parts[0][2], plain[0].running_mean)


def test_a_frozen_network_trains_the_rest() -> None:
    network = made(SMALL[2], weights="any", freeze_norm=True).train()
    network(torch.randn(4, 3, 32, 32))[0].sum().backward()
    assert not any(isinstance(m, nn.BatchNorm2d) for m in network.modules())
    assert all(p.grad is not None for p in network.parameters())
    assert set(network.state_dict()) == set(made(SMALL[2]).state_dict())


def test_the_head_is_timms_own() -> None:
    parts = backbone(ModelConfig(name=SMALL[1]), 10, 32)
    assert isinstance(parts.head, nn.Linear) and parts.undecayed == frozenset()
    assert backbone(ModelConfig(name=SMALL[0]), 10, 32).undecayed >= {"body.pos_embed", "body.cls_token"}
