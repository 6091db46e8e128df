"""Passes over images: the same on any number of ranks."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dataprep.generated.pack import pack
from pipeline.annotation.packed import open_groups
from pipeline.annotation.projection import prototypes
from pipeline.distributed import Ranks
from pipeline.encoders.encoder import Encoder
from pipeline.encoders.labelled import real_images
from pipeline.encoders.moments import frechet_distance
from pipeline.encoders.passes import Reading, annotate_generated, labelled_sums
from pipeline.encoders.rank_rows import join_rows
from tests.support.blends import blends, write_shards
from tests.support.ranks import alone, on_ranks


class Pooled(nn.Module):
    """Features of 4x4 averages; without a head."""

    def forward(self, images: Tensor) -> tuple[Tensor]:
        return (nn.functional.avg_pool2d(images[:, :1], 8).flatten(1),)


def annotated(ranks: Ranks, folder: Path, positions: np.ndarray) -> tuple[dict | None, float]:
    groups = open_groups(folder)
    encoder = Encoder("pooled", "0", Pooled(), lambda images: images / 255, ranks.device, 32, False, None)
    reading = Reading(encoder, real_images(groups, folder.parent), ranks, 64 // ranks.world + 1, 1)
    *sums, real = labelled_sums(reading, folder.parent / "digits/train.beton", positions, 10, "labelled")
    found = annotate_generated(reading, groups, prototypes(*sums, groups.classes), 0.1)
    rows = {"lambda_e": found.lambda_e, "zero_shot": found.zero_shot}
    return join_rows(folder, rows, ranks), frechet_distance(real, found.ends.plus(found.inner))


@pytest.mark.xdist_group("ranks")
def test_two_ranks_say_what_one_says(shipped: Path, tmp_path: Path) -> None:
    (tmp_path / "digits").symlink_to(shipped / "digits")
    folder, positions = tmp_path / "digits-csm", np.arange(0, 1297, 3)
    pack(write_shards(tmp_path / "shards", blends(47)), folder, 1)
    whole, distance = alone(annotated, folder, positions)
    (joined, again), (nothing, _) = on_ranks(2, annotated, folder, positions)
    assert whole and joined and nothing is None and again == pytest.approx(distance, rel=1e-9)
    for name, values in whole.items():
        np.testing.assert_allclose(joined[name], values, atol=1e-6)
    assert len(whole["lambda_e"]) == 188 and not list(folder.glob(".*"))
    by_place = whole["lambda_e"].reshape(-1, 4)  # pixels are features here, and blends of pixels lie in between
    assert (np.diff(by_place.mean(0)) > 0).all()
    np.testing.assert_allclose(np.diff(by_place), np.diff(by_place)[:, :1].repeat(3, 1), atol=0.02)
    assert torch.from_numpy(whole["zero_shot"]).sum(1).allclose(torch.ones(188))
