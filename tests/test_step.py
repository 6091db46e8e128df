"""Observe and learn: what carries a gradient, what each loss term is, number formats."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from pipeline import config, models
from pipeline.data import NO_VIEWS, Batch, Views
from pipeline.dataset import Dataset
from pipeline.pseudo_labels import PseudoLabels
from pipeline.step import Inputs, Mixed, Numerics, learn, observe, resolve_precision

CPU = torch.device("cpu")


def numerics(precision: str = "fp64") -> Numerics:
    dataset = Dataset(
        *[None] * 6, mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.2), split=None, num_train=0, train_labels=None
    )  # type: ignore[arg-type]
    return Numerics(precision, dataset, CPU)


def batch() -> Inputs:
    random = torch.Generator().manual_seed(0)
    images = [torch.randint(0, 256, (n, 3, 8, 8), dtype=torch.uint8, generator=random) for n in (4, 12, 12)]
    host = Batch(0, NO_VIEWS, *[np.zeros(1, np.int64)] * 4)
    return Inputs(0, Views(*images), torch.tensor([0, 1, 2, 0]), torch.arange(4), torch.arange(12), host)


def network() -> torch.nn.Module:
    return models.build(config.ModelConfig(name="wrn-10-1", norm="group"), 3, 0).double()


def settings(*sets: str) -> config.Config:
    return config.load(None, ["dataset=x", "batch.labelled=4", "batch.ratio=3", *sets])


def test_observe_has_no_gradient_and_runs_in_training_mode() -> None:
    model = models.build(config.ModelConfig(name="wrn-10-1", norm_momentum=0.5), 3, 0).double()
    before = model.norm.running_mean.clone()
    seen = observe(model.train(), batch(), numerics())
    assert not seen.unlabelled_logits.requires_grad
    assert (seen.labelled_logits.shape, seen.unlabelled_features.shape) == ((4, 3), (12, 64))
    assert not torch.equal(model.norm.running_mean, before)


def test_terms_equal_the_equations() -> None:
    """Eq. 10 written out with three separate forward passes (group norm keeps them apart)."""
    model, inputs, numbers = network(), batch(), numerics()
    pseudo = PseudoLabels(torch.arange(12) % 3, torch.arange(12).double() / 12)
    mixed = Mixed(torch.randn(4, 3, 8, 8, dtype=torch.float64), torch.rand(4, 3, dtype=torch.float64))
    terms = learn(model, inputs, pseudo, mixed, settings("unlabelled.weight=2", "mixing.weight=0.5"), numbers)
    labelled = F.cross_entropy(model(numbers.normalise(inputs.views.labelled))[0], inputs.labels)
    logits = model(numbers.normalise(inputs.views.strong))[0]
    unlabelled = (F.cross_entropy(logits, pseudo.label, reduction="none") * pseudo.weight).mean()
    mix = -(mixed.targets * model(mixed.images)[0].log_softmax(1)).sum(1).mean()
    expected = torch.stack([labelled + 2 * unlabelled + 0.5 * mix, labelled, unlabelled, mix, pseudo.weight.mean()])
    torch.testing.assert_close(terms, expected)
    plain = learn(model, inputs, pseudo, None, settings(), numbers)
    torch.testing.assert_close(plain[0], labelled + unlabelled)
    assert plain[3] == 0


def test_only_the_objective_trains_and_the_weak_views_do_not() -> None:
    model, inputs = network(), batch()
    pseudo = PseudoLabels(torch.zeros(12, dtype=torch.long), torch.ones(12))
    other = replace(inputs, views=inputs.views._replace(weak=torch.zeros_like(inputs.views.weak)))
    losses = [learn(model, given, pseudo, None, settings(), numerics())[0] for given in (inputs, other)]
    assert losses[0] == losses[1]
    losses[0].backward()
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)


def test_normalise() -> None:
    images = torch.tensor([0, 128, 255], dtype=torch.uint8).reshape(1, 3, 1, 1)
    expected = torch.tensor([(0 - 0.4) / 0.2, (128 / 255 - 0.5) / 0.3, (1 - 0.6) / 0.2], dtype=torch.float64)
    torch.testing.assert_close(numerics().normalise(images).flatten(), expected)
    grid = torch.zeros(2, 4, 4, 3, dtype=torch.uint8).permute(0, 3, 1, 2)
    assert numerics().normalise(grid).is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(("precision", "half"), [("fp32", None), ("bf16", torch.bfloat16), ("fp16", torch.float16)])
def test_precision(precision: str, half: torch.dtype | None) -> None:
    numbers = numerics(precision)
    with numbers.autocast():
        product = torch.ones(2, 2) @ torch.ones(2, 2)
    assert product.dtype == (half or torch.float32)
    assert numbers.scaler.is_enabled() == (precision == "fp16")


def test_auto_is_what_the_processor_has() -> None:
    flags = open("/proc/cpuinfo").read() if resolve_precision("auto", CPU) == "bf16" else None  # noqa: PTH123, SIM115
    assert flags is None or "avx512_bf16" in flags or "amx_tile" in flags
    assert resolve_precision("fp32", CPU) == "fp32"
