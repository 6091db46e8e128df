"""The groups of a folder of shards, as pipeline/generate.py leaves it."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from dataprep.console import note
from dataprep.generated.pairs import class_pairs
from dataprep.generated.shards import complete, read_positions, read_settings, read_shard
from dataprep.generated.source import Source


@dataclass(frozen=True)
class ShardPiece:
    """The groups of a shard, of which every image is `shape`: places, height, width, channels."""

    file: Path
    shape: tuple[int, int, int, int]

    def images(self) -> Iterator[Image.Image]:
        """Raises ValueError when the shard is damaged or of another shape."""
        groups = read_shard(self.file)
        if groups.shape[1:] != self.shape:
            raise ValueError(f"{self.file}: its groups are {groups.shape[1:]}, not {self.shape} as settings.json says")
        for group in groups:
            yield from map(Image.fromarray, group)


def shard_source(folder: Path) -> Source:
    """What a folder of shards holds. Raises ValueError for one that is damaged, or lacks groups between others."""
    settings, shards = read_settings(folder), complete(folder)
    num_groups = shards[-1][1].stop
    if num_groups < settings["groups"]:
        note(f"{folder} holds {num_groups:,} of {settings['groups']:,} groups; those are packed")
    pairs = class_pairs(len(settings["classes"]))[np.arange(num_groups) % _num_pairs(settings["classes"])]
    side, identity = settings["side"], hashlib.sha256()
    for file, groups in shards:
        identity.update(f"{file.name}\t{len(groups)}\t{file.stat().st_size}\n".encode())
    return Source(
        dataset=settings["dataset"],
        classes=settings["classes"],
        first=pairs[:, 0],
        second=pairs[:, 1],
        ratios=np.array(settings["ratios"], np.float64),
        side=side,
        pieces=[ShardPiece(file, (len(settings["ratios"]), side, side, 3)) for file, _ in shards],
        record={"kind": "shards", "name": folder.name, "identity": identity.hexdigest(), "size": [side, side]},
        settings=settings,
        positions=read_positions(folder),
    )


def _num_pairs(classes: list[str]) -> int:
    return len(classes) * (len(classes) - 1) // 2
