"""Steps with generated images: what is forwarded with what, and what is left when they have no weight."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from pipeline import models, train
from pipeline.annotation.packed import open_groups
from pipeline.annotation.stored import read_annotation, write_annotation
from pipeline.config.sections import ModelConfig
from pipeline.methods.losses import cross_entropy
from pipeline.methods.objective import Objective
from pipeline.methods.step_types import Group, Inputs, Part, PseudoLabels, StepOutput
from pipeline.training.passes import JointPasses, ObservingPasses, UnobservedPasses
from pipeline.training.step import Passes
from tests.support.launch import digits, lines, result
from tests.support.problems import CLASSES, SIZE, batch, context, numerics
from tests.support.ranks import alone
from tests.support.recorder import run
from tests.support.soft_labelled import NAME, put_groups

DRAWN = torch.Generator().manual_seed(7)
GENERATED = torch.randint(0, 256, (6, 3, SIZE, SIZE), dtype=torch.uint8, generator=DRAWN)
TARGETS = torch.rand(6, CLASSES, dtype=torch.float64, generator=DRAWN).softmax(1)
MIXED = Group(
    "mix",
    torch.randn(4, 3, SIZE, SIZE, dtype=torch.float64, generator=DRAWN),
    torch.rand(4, CLASSES, dtype=torch.float64, generator=DRAWN),
    cross_entropy,
    4,
)


def network() -> torch.nn.Module:
    made = models.build(ModelConfig(name="wrn-10-1", norm_momentum=0.5), CLASSES, 0)
    return made.double().train()


def inputs(unlabelled: int) -> Inputs:
    made, nothing = alone(batch, 5, unlabelled)[0], np.zeros(1, np.int64)
    part: Any = Part(GENERATED, None, None, torch.arange(6), nothing, nothing)
    return Inputs(made.step, {**made.parts, "augmented": part})


def learned(
    forward: str, model: torch.nn.Module, *, joint: bool, mixed: bool = True, weight: float = 1.0
) -> StepOutput:
    """A step of ``forward``: joint, observe, or none (labels alone, where nothing is observed)."""
    given = inputs(0 if forward == "none" else 12)
    settings = context("mixing.update_bn=false").config
    pseudo = PseudoLabels(torch.zeros(len(given.unlabelled.weak), dtype=torch.int64), torch.ones(()).double())
    passes = passes_of(forward, model, joint and weight > 0)
    groups = Objective(settings, CLASSES).groups(given, pseudo) + [MIXED] * mixed
    ours = Group("augmented", GENERATED, TARGETS, cross_entropy, 6, weight, alone=not joint)
    return passes.learn(given, passes.observe(given), [*groups, ours])


def passes_of(forward: str, model: torch.nn.Module, joint: bool) -> Passes:
    options = context("mixing.update_bn=false").config.mixing
    joined = ("augmented",) if joint else ()
    if forward == "none":
        return UnobservedPasses(model, numerics(), 1, CLASSES, options=options, joined=joined)
    if forward == "observe":
        return ObservingPasses(model, model, numerics(), 1, update_bn=False)
    return JointPasses(model, numerics(), 1, options=options, joined=joined)


def together(forward: str) -> list[torch.Tensor]:
    """What is forwarded with generated images that are not alone."""
    given = inputs(0 if forward == "none" else 12)
    labelled, weak, strong = given.labelled.weak, given.unlabelled.weak, given.unlabelled.strong
    assert strong is not None
    return {"joint": [labelled, weak, strong], "observe": [labelled, strong], "none": [labelled]}[forward]


FORWARDS = pytest.mark.parametrize("forward", ["joint", "observe", "none"])


@FORWARDS
@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("joint", [False, True])
def test_statistics_are_their_own_or_those_of_the_views(forward: str, joint: bool, mixed: bool) -> None:
    """Never those of mixed images."""
    model, plain, other = network(), network(), network()
    output = learned(forward, model, joint=joint, mixed=mixed)
    images = [*(together(forward) if joint else []), GENERATED]
    logits, _ = plain(numerics().batch(images))
    expected = F.cross_entropy(logits[-6:], TARGETS)
    torch.testing.assert_close(output.terms["augmented"], expected)
    rest = learned(forward, other, joint=False, mixed=mixed, weight=0)
    if not joint:
        torch.testing.assert_close(output.loss, rest.loss + expected)
        assert all(torch.equal(output.terms[name], value) for name, value in rest.terms.items())
    counted = model.norm.running_mean, other.norm.running_mean
    assert not torch.equal(*counted)  # generated images count in the running statistics, whatever mixed ones do


@FORWARDS
@pytest.mark.parametrize("joint", [False, True])
def test_without_weight_a_step_is_what_it_is_without_them(forward: str, joint: bool) -> None:
    models_ = network(), network()
    without = passes_of(forward, models_[1], False)
    output = learned(forward, models_[0], joint=joint, weight=0)
    given = inputs(0 if forward == "none" else 12)
    pseudo = PseudoLabels(torch.zeros(len(given.unlabelled.weak), dtype=torch.int64), torch.ones(()).double())
    groups = [*Objective(context().config, CLASSES).groups(given, pseudo), MIXED]
    expected = without.learn(given, without.observe(given), groups)
    assert torch.equal(output.loss, expected.loss) and set(output.terms) == set(expected.terms)
    for (name, mine), theirs in zip(models_[0].state_dict().items(), models_[1].state_dict().values(), strict=True):
        assert torch.equal(mine, theirs), name


@pytest.mark.slow
@pytest.mark.parametrize("forward", ["separate", "joint"])
def test_weight_zero_is_plain_training_to_the_last_bit(forward: str, data: Path, tmp_path: Path) -> None:
    root = put_groups(tmp_path / "data", data)
    plain = ("algorithm=supervised", "steps=4", "eval_every=4", "precision=fp32")
    zero = (f"augmented.dataset={NAME}", "augmented.weight=0", f"augmented.forward={forward}")
    for out, sets in (("plain", plain), ("zero", (*plain, *zero))):
        alone(run, digits(root, tmp_path / out, *sets))
    found = lines(tmp_path / "zero")
    assert [line.pop("loss_augmented") for line in found if "loss" in line] == [0.0] * 4
    assert found == lines(tmp_path / "plain")
    assert result(tmp_path / "zero") == result(tmp_path / "plain")


@pytest.mark.slow
def test_a_run_goes_on_with_the_annotation_that_it_began_with(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = put_groups(tmp_path / "data", data)
    given = digits(root, tmp_path / "out", "algorithm=supervised", f"augmented.dataset={NAME}", "steps=4")
    assert train.main(given) == 0
    (tmp_path / "out/result.json").unlink()  # as if it had been killed after its last checkpoint
    groups = open_groups(root / NAME)
    shutil.copy(groups.folder / "annotation.npz", tmp_path)
    found = read_annotation(groups)
    for changed in (replace(found, prototypes=found.prototypes + 0.1), replace(found, temperature=0.5)):
        write_annotation(groups, changed)
        assert train.main(given) == 2
        assert "began with other images or another annotation" in capsys.readouterr().err
    shutil.copy(tmp_path / "annotation.npz", groups.folder)
    assert train.main(given) == 0
