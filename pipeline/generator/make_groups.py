"""From options to shards of groups: ranks share the shards that are missing, and write each when all of it is there."""

import time
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from dataprep.generated import shards as shard_files
from dataprep.generated.shards import Settings
from pipeline import devices, distributed
from pipeline.distributed import Ranks, broadcast_object
from pipeline.generator.group_options import GroupOptions
from pipeline.generator.groups import Generation, Plan, number_of_groups
from pipeline.generator.sampler import Sampler
from pipeline.generator.source import Source, Target, check_guidance, read_source, read_target
from pipeline.models.numerics import autocast, resolve_precision, set_libraries
from pipeline.runs.host_tuning import cores
from pipeline.runs.lock import RunLock
from pipeline.training.failures import RunError
from pipeline.training.launch import on_ranks
from pipeline.training.live_view import LiveView
from pipeline.training.training_run import choose_threads


@dataclass
class ShardFolder:
    """Where the shards go. It has no status: the shards themselves say how far it is."""

    path: Path
    lock: RunLock = field(init=False)

    def __post_init__(self) -> None:
        self.lock = RunLock(self.path)

    def fail(self, error: str, **details: Any) -> None:
        """Nothing to write: what failed is said, and the same command goes on."""


def launch(options: GroupOptions) -> int:
    """Generates what is missing and packs it; the exit code: 1 where that failed. ValueError for a mistake."""
    target = read_target(options.data, options.dataset)
    source = read_source(options.run, options.weights, target)
    check_guidance(options.guidance, source)
    devices.check()
    precision = resolve_precision(options.precision, torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    plan, sampler = plan_of(options, target), Sampler(options.steps, guidance=options.guidance)
    folder, rank = ShardFolder(options.shards), distributed.launched_world()[0]
    if rank == 0:
        begin(folder, settings_of(options, plan, sampler, source, target, precision), source)
    torch.set_num_threads(choose_threads(options.threads))
    failed = on_ranks(folder, lambda ranks: generate(plan, sampler, source, precision, ranks, folder.path))
    if not failed and rank == 0:
        from dataprep.generated.pack import pack  # when all shards are there the other ranks need not wait for it

        pack(folder.path, options.out, cores())
    return failed


def plan_of(options: GroupOptions, target: Target) -> Plan:
    """The groups that the options ask for."""
    classes = len(target.classes)
    groups = number_of_groups(classes, options.size, options.groups, options.equal_to)
    return Plan(classes, groups, options.size, options.seed, target.side, options.micro_batch)


def begin(folder: ShardFolder, settings: Settings, source: Source) -> None:
    """Takes the folder for groups of these settings. ValueError where another process or other groups have it."""
    folder.lock.claim()
    try:
        shard_files.write_settings(folder.path, settings)
        if source.positions is not None:
            shard_files.write_positions(folder.path, source.positions)
    except ValueError:
        folder.lock.release()
        raise


def generate(plan: Plan, sampler: Sampler, source: Source, precision: str, ranks: Ranks, folder: Path) -> None:
    """Writes the missing shards, in order, so that what there is at any time is balanced over pairs. Collective."""
    set_libraries(precision)
    denoiser = source.denoiser.to(ranks.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    generation = Generation(plan, denoiser, sampler, ranks.device, partial(autocast, precision, ranks.device))
    whole = shard_files.existing(folder) if ranks.is_main else None
    missing = sorted(set(range(plan.shards)) - broadcast_object(whole))
    view = Progress(plan, folder, len(missing), ranks)
    with view.view:
        for number in missing[ranks.rank :: ranks.world]:
            images = generation.shard(number)
            try:
                shard_files.write_shard(folder, number, images, plan.groups_of(number).start)
            except OSError as error:
                file = shard_files.shard_file(folder, number)
                raise RunError(f"{file}: not written ({error.strerror}); the same command goes on from there") from None
            view.advance(len(images))
        distributed.barrier()


class Progress:
    """Rank 0's view of all ranks' shards, by what lies in the folder."""

    def __init__(self, plan: Plan, folder: Path, missing: int, ranks: Ranks) -> None:
        self.plan, self.folder, self.ranks = plan, folder, ranks
        before = max(0, plan.groups - missing * plan.groups_per_shard)
        self.view = LiveView("groups", plan.groups, before, ranks.is_main, unit="group")
        self.began, self.images = time.monotonic(), 0
        if before and ranks.is_main:
            self.view.say(f"{folder}: {plan.shards - missing} of {plan.shards} shards are there already")

    def advance(self, groups: int) -> None:
        """A shard of ``groups`` groups was written by this rank."""
        self.images += groups * self.plan.places
        if self.ranks.is_main:
            done = min(self.plan.groups, len(shard_files.shard_files(self.folder)) * self.plan.groups_per_shard)
            rate = self.images * self.ranks.world / (time.monotonic() - self.began)
            self.view.advance(done, f"{rate:,.1f} images/s")


def settings_of(
    options: GroupOptions, plan: Plan, sampler: Sampler, source: Source, target: Target, precision: str
) -> Settings:
    """What makes the groups what they are, as settings.json has it."""
    return {
        "dataset": options.dataset,
        "classes": target.classes,
        "groups": plan.groups,
        "seed": plan.seed,
        "ratios": plan.ratios,
        "side": plan.side,
        "resolution": source.denoiser.size.resolution,
        "sampler": {
            "name": "heun",
            "steps": sampler.steps,
            "sigma_min": sampler.sigma_min,
            "sigma_max": sampler.sigma_max,
            "rho": sampler.rho,
            "guidance": sampler.guidance,
        },
        "generator": source.record,
        "precision": precision,
        "micro_batch": plan.micro_batch,
        "groups_per_shard": plan.groups_per_shard,
        "versions": {name: version(name) for name in ("torch", "numpy", "pillow")},
    }
