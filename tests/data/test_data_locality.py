"""What a rank holds of the data: its own slice of the file, and its own rows of the APM table, once."""

from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline import config
from pipeline.data.batches import Batch, TrainImages, augmentation, part_sources
from pipeline.data.beton_reader import BetonReader
from pipeline.data.dataset import open_dataset
from pipeline.data.streams import VirtualShards
from pipeline.distributed import Ranks
from pipeline.methods.margins import ApmTable
from pipeline.training import checkpoint
from tests.support.ranks import alone


@pytest.mark.parametrize("rank", [0, 1])
def test_a_rank_reads_its_slice_of_the_file_alone(rank: int, data: Path) -> None:
    """Of the unlabelled images; labelled ones may lie anywhere, and each is read by the rank that trains on it."""
    settings = config.load(None, ["dataset=digits", f"data={data}", "labels=4", "batch.labelled=8", "batch.ratio=4"])
    dataset, half = open_dataset(settings), 1297 // 2
    sources = part_sources(settings, dataset, VirtualShards.of(1297, 8, 32), rank, 2)
    images = TrainImages(sources, 32, augmentation(dataset, settings.augment), 0, 1)
    (file,) = images.files
    read: list[np.ndarray] = []
    make = file._cut

    def noted(decoded: np.ndarray, indices: np.ndarray) -> Batch:
        read.append(indices.copy())
        return make(decoded, indices)

    file.reader = BetonReader(str(dataset.train_beton), 20, 1, noted)
    steps = 2 * half // 16  # two epochs
    assert sum(1 for _ in images.batches(0, steps)) == steps == len(read)
    labelled, unlabelled = np.stack(read)[:, :4], np.stack(read)[:, 4:]
    mine = range(half) if rank == 0 else range(half, 1297)
    assert set(unlabelled.flatten().tolist()) == set(mine)
    assert set(labelled.flatten().tolist()) <= set(dataset.split.tolist())


def peak_of_apm(ranks: Ranks, rows: int, classes: int) -> tuple[float, float]:
    """Resident bytes over the table's size: (after it was made as a DTensor, at most until each row was visited)."""
    Path("/proc/self/clear_refs").write_text("5")  # forgets the peak so far
    before, size = resident("VmRSS"), rows * classes * 4
    apm = ApmTable(rows, classes, 2, torch.float32, ranks.device)
    tables = checkpoint._shard({"mixing": {"table": apm.table}}, ranks.mesh)
    made = (resident("VmHWM") - before) / size
    for first in range(0, rows, 100):
        visited = torch.arange(first, first + 100)
        apm.update(visited, torch.ones(len(visited), classes))
    assert tables["mixing"]["table"].to_local().data_ptr() == apm.table.data_ptr()
    assert bool((apm.visits == 1).all()) and apm.table.min().item() > 0.99
    return made, (resident("VmHWM") - before) / size


def resident(what: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(what))


def test_the_apm_table_is_made_without_a_spike() -> None:
    """A tenth of the largest shard: 2.4M images of 1000 classes over 8 ranks are 1.2 GB a rank."""
    alone(peak_of_apm, 1000, 1000)  # what torch loads and keeps on the way
    made, peak = alone(peak_of_apm, 30_000, 1000)
    assert made < 1.05
    assert peak < 1.1
