"""Passes with dropout: against torch's dropout, against the plain pass, and the same whatever the blocks."""

import numpy as np
import pytest
import torch
from torch import nn

from pipeline.calibration.scores import softmax
from pipeline.report import mc_dropout as module
from pipeline.report.mc_dropout import mc_dropout

FEATURES = np.random.default_rng(0).normal(size=(50, 16))


@pytest.fixture
def head() -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(16, 5).double()


@torch.no_grad()
def plain(head: nn.Linear) -> np.ndarray:
    return softmax(head(torch.from_numpy(FEATURES)).numpy())


def test_without_dropout_it_is_the_plain_pass(head: nn.Linear) -> None:
    np.testing.assert_allclose(softmax(mc_dropout(FEATURES, head, 0, 10, 0)), plain(head), rtol=1e-12)


@torch.no_grad()
def test_many_passes_come_near_torchs_dropout(head: nn.Linear) -> None:
    found = softmax(mc_dropout(FEATURES, head, 0.3, 2000, 0))
    dropout = nn.Dropout(0.3).train()
    features = torch.from_numpy(FEATURES).repeat(2000, 1, 1)
    expected = head(dropout(features)).softmax(dim=2)
    error = expected.std(dim=0).numpy() / np.sqrt(2000)
    assert (np.abs(found - expected.mean(dim=0).numpy()) < 7 * error).all()
    assert (np.abs(found - plain(head)) > 7 * error).any()  # and another prediction than the plain pass


def test_seed_and_image_decide_what_is_dropped(head: nn.Linear, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = mc_dropout(FEATURES, head, 0.3, 10, 0)
    assert np.abs(mc_dropout(FEATURES, head, 0.3, 10, 1) - whole).max() > 1e-3
    np.testing.assert_array_equal(mc_dropout(FEATURES[:20], head, 0.3, 10, 0), whole[:20])
    monkeypatch.setattr(module, "AT_ONCE", 7)
    np.testing.assert_allclose(mc_dropout(FEATURES, head, 0.3, 10, 0), whole, rtol=1e-12)
