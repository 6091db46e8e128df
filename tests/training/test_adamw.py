"""AdamW beside torch's, rates by layer beside a table, and what a checkpoint keeps of an optimizer."""

import pytest
import torch
from torch import Tensor, nn

from pipeline import models
from pipeline.config.sections import ModelConfig, OptimizerConfig
from pipeline.training.optimization import (
    build_optimizer,
    layer_scales,
    optimizer_state,
    parameters_of,
    set_learning_rate,
)

ADAMW = OptimizerConfig(name="adamw", lr=0.1, weight_decay=0.01)


def step(model: nn.Module, optimizer: torch.optim.Optimizer, seed: int) -> None:
    x = torch.randn(4, 3, generator=torch.Generator().manual_seed(seed))
    optimizer.zero_grad()
    model(x).square().sum().backward()
    optimizer.step()


def test_state_from_the_start_is_torchs() -> None:
    """Moments that exist before the first step, to the last bit."""
    ours, theirs = nn.Linear(3, 2), nn.Linear(3, 2)
    theirs.load_state_dict(ours.state_dict())
    optimizer = build_optimizer(ours, ADAMW)
    groups = [{"params": [theirs.weight], "weight_decay": 0.01}, {"params": [theirs.bias], "weight_decay": 0.0}]
    reference = torch.optim.AdamW(groups, 0.1, fused=True)
    for number in range(3):
        for model, each in ((ours, optimizer), (theirs, reference)):
            set_learning_rate(each, 0.1 / (number + 1))
            step(model, each, number)
    assert torch.equal(ours.weight, theirs.weight) and torch.equal(ours.bias, theirs.bias)


def test_a_held_step_changes_nothing() -> None:
    """As the guard holds it: no weight, no moment, no count."""
    model = nn.Linear(3, 2)
    optimizer = build_optimizer(model, ADAMW)
    step(model, optimizer, 0)
    kept = {name: value.clone() for part in optimizer_state(optimizer, model).values() for name, value in part.items()}
    weight = model.weight.detach().clone()
    optimizer.found_inf = torch.ones(())  # type: ignore[attr-defined]
    step(model, optimizer, 1)
    now = {name: value for part in optimizer_state(optimizer, model).values() for name, value in part.items()}
    assert torch.equal(model.weight, weight) and all(torch.equal(now[name], kept[name]) for name in kept)


@pytest.mark.parametrize(
    ("name", "parts"),
    [("sgd", {"momentum"}), ("adamw", {"adamw_mean", "adamw_square", "adamw_steps"})],
)
def test_what_a_checkpoint_keeps(name: str, parts: set[str]) -> None:
    """By reference, of each parameter; SGD's under the name that older checkpoints have."""
    model = nn.Linear(3, 2)
    optimizer = build_optimizer(model, OptimizerConfig(name=name))
    before = {kind: {n: t.clone() for n, t in part.items()} for kind, part in optimizer_state(optimizer, model).items()}
    assert set(before) == parts and all(set(part) == {"weight", "bias"} for part in before.values())
    state = optimizer_state(optimizer, model)
    step(model, optimizer, 0)
    moved: list[Tensor] = [state[kind]["weight"] - before[kind]["weight"] for kind in parts]
    assert all(change.abs().max() > 0 for change in moved)


# By hand: ViT-tiny has 12 blocks, ConvNeXt-atto 2 + 2 + 6 + 2; layer 0 is the stem, 13 the classifier.
VIT = {
    "body.cls_token": 2**-13, "body.pos_embed": 2**-13, "body.patch_embed.proj.weight": 2**-13,
    "body.blocks.0.attn.qkv.weight": 2**-12, "body.blocks.5.mlp.fc1.bias": 2**-7,
    "body.blocks.11.norm1.weight": 2**-1, "body.norm.weight": 2**-1, "head.weight": 1.0, "head.bias": 1.0,
}  # fmt: skip
CONVNEXT = {
    "body.stem.0.weight": 2**-13, "body.stages.0.blocks.0.conv_dw.weight": 2**-12,
    "body.stages.0.blocks.1.conv_dw.weight": 2**-11, "body.stages.1.downsample.1.weight": 2**-10,
    "body.stages.1.blocks.0.conv_dw.weight": 2**-10, "body.stages.2.blocks.0.norm.weight": 2**-8,
    "body.stages.2.blocks.5.mlp.fc2.weight": 2**-3, "body.stages.3.downsample.1.weight": 2**-2,
    "body.stages.3.blocks.1.conv_dw.weight": 2**-1, "body.head.norm.weight": 1.0, "head.weight": 1.0,
}  # fmt: skip


@pytest.mark.parametrize(("name", "table"), [("vit_tiny_patch16_224", VIT), ("convnext_atto", CONVNEXT)])
def test_rates_by_layer(name: str, table: dict[str, float]) -> None:
    """The factors of a table computed by hand, in the groups that the optimizer steps; positions do not decay."""
    pytest.importorskip("timm")
    model = models.shapes(ModelConfig(name=f"timm/{name}"), 10, 32)
    scales = layer_scales(model, 0.5)
    assert {key: scales[key] for key in table} == table
    optimizer = build_optimizer(model, OptimizerConfig(name="adamw", lr=0.1, layer_decay=0.5, weight_decay=0.05))
    set_learning_rate(optimizer, 0.2)
    found = {id(p): (group["lr"], group["weight_decay"]) for group in optimizer.param_groups for p in group["params"]}
    assert len(found) == len(parameters_of(optimizer)) == len(list(model.parameters()))
    for key, parameter in model.named_parameters():
        decays = parameter.ndim > 1 and key not in ("body.pos_embed", "body.cls_token")
        assert found[id(parameter)] == (pytest.approx(0.2 * scales[key]), 0.05 if decays else 0.0), key


def test_networks_without_numbered_layers() -> None:
    with pytest.raises(ValueError, match=r"^optimizer.layer_decay=0.5: this network does not number its layers"):
        build_optimizer(nn.Linear(3, 2), OptimizerConfig(layer_decay=0.5))
