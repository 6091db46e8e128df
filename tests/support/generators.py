"""Small generators for tests: weights that no training made, a training of a few steps, groups on real ranks."""

from pathlib import Path

import torch

from dataprep.generated.shards import read_groups
from pipeline import distributed
from pipeline.config import generator
from pipeline.data.dataset import open_dataset
from pipeline.distributed import Ranks
from pipeline.generator import make_groups, train_loop
from pipeline.generator.denoiser import Denoiser
from pipeline.generator.group_options import GroupOptions
from pipeline.generator.sampler import Sampler
from pipeline.generator.source import read_source, read_target
from pipeline.generator.unet import NetworkSize
from pipeline.runs.folder import RunFolder
from tests.support.generator_oracle import fill

TINY = NetworkSize(8, 10, 16, (1,), 1, ())
FEW = (
    "dataset=digits", "resolution=8", "reduce=undo_enlargement", "steps=6", "batch=16", "log_every=1", "sheet_every=6",
    "checkpoint_every=2", "precision=fp32", "threads=1", "network.channels=16", "network.multipliers=1",
    "network.blocks=1", "network.attention=", "network.dropout=0.1", "adam.warmup_images=32", "average.half_life=32",
    "label_dropout=0.2",
)  # fmt: skip


def weights(path: Path, size: NetworkSize = TINY) -> Path:
    """A file of weights of sines."""
    network = Denoiser(size)
    fill(network)
    torch.save(network.state_dict(), path)
    return path


def options(data: Path, file: Path, shards: Path, groups: int = 2, micro_batch: int = 4) -> GroupOptions:
    """Groups of the digits by the weights in ``file``, 3 steps each."""
    return GroupOptions(
        run=None, weights=file, dataset="digits", data=str(data), groups=groups, equal_to=None, size=8, steps=3,
        guidance=None, seed=0, precision="fp32", micro_batch=micro_batch, threads=1, shards=shards,
        out=shards.parent / "packed",
    )  # fmt: skip


def groups_on(ranks: Ranks, chosen: GroupOptions) -> None:
    """As ``launch``, in this process group and without packing."""
    target = read_target(chosen.data, chosen.dataset)
    source, plan = read_source(chosen.run, chosen.weights, target), make_groups.plan_of(chosen, target)
    sampler, folder = Sampler(chosen.steps), make_groups.ShardFolder(chosen.shards)
    if ranks.is_main:
        make_groups.begin(folder, make_groups.settings_of(chosen, plan, sampler, source, target, "fp32"), source)
    distributed.barrier()
    make_groups.generate(plan, sampler, source, "fp32", ranks, folder.path)
    folder.lock.release()


def images(shards: Path) -> torch.Tensor:
    """All groups in order, uint8 [G, S, H, W, 3]."""
    return torch.stack([torch.from_numpy(group) for _, group in read_groups(shards)])


def train_on(ranks: Ranks, sets: tuple[str, ...]) -> train_loop.GeneratorRun:
    """The whole run."""
    config = generator.load(None, [*FEW, *sets])
    return train_loop.train(config, open_dataset(config.labelled_data), ranks, RunFolder(config))
