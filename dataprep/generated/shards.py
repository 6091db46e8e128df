"""The files in which a generator leaves its groups: settings.json, then shard-000000.npz, shard-000001.npz, ...

A shard holds `images` uint8 [G, S, H, W, 3] and `group` int64 [G], the consecutive numbers of its groups. Every file
gets its name only when all of it is on disk, so a killed generator loses at most the shards under way. Imports nothing
slow: the generator's ranks read this file too.
"""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypedDict, cast
from zipfile import BadZipFile, ZipFile

import numpy as np
from numpy.typing import NDArray

from dataprep.data_folder.shapes import misfits
from dataprep.data_folder.whole_files import replacing

SETTINGS, POSITIONS = "settings.json", "generator_positions.npy"
_NAME = re.compile(r"shard-(\d{6})\.npz")
_MAY_DIFFER = ("versions.", "generator.path")  # of two settings that make the same images

Images = NDArray[np.uint8]


class Sampler(TypedDict):
    """How the differential equation was solved: `name` heun, its steps, noise levels, exponent and guidance."""

    name: str
    steps: int
    sigma_min: float
    sigma_max: float
    rho: float
    guidance: float | None


class LabelsRecord(TypedDict):
    """The labelled images of a training: name of the split, how many, sha256 of their positions as int64."""

    name: str
    count: int
    sha256: str


class Generator(TypedDict):
    """What drew the images. kind: run or weights. labels: None where they are not known."""

    path: str
    kind: str
    sha256: str
    labels: LabelsRecord | None


class Settings(TypedDict):
    """settings.json. groups: of the finished set. ratios: share of class a at each of the S places.

    side: pixels of the stored images. resolution: pixels of the images that the generator drew.
    """

    dataset: str
    classes: list[str]
    groups: int
    seed: int
    ratios: list[float]
    side: int
    resolution: int
    sampler: Sampler
    generator: Generator
    precision: str
    micro_batch: int
    groups_per_shard: int
    versions: dict[str, str]


def write_settings(folder: Path, settings: Settings) -> None:
    """Write settings.json, before any shard; a folder of the same settings is gone on with.

    Versions and the generator's path may differ. Raises ValueError where anything else does.
    """
    if not (folder / SETTINGS).exists():
        folder.mkdir(parents=True, exist_ok=True)
        with replacing(folder / SETTINGS) as out:
            out.write((json.dumps(settings, indent=1) + "\n").encode())
        return
    made, wanted = dict(_flat(read_settings(folder))), dict(_flat(settings))
    for key in {**made, **wanted}:
        if made.get(key) != wanted.get(key) and not key.startswith(_MAY_DIFFER):
            raise ValueError(
                f"{folder} holds groups of other settings: {key} is {made.get(key)}, not {wanted.get(key)}; choose "
                "another folder, or remove it"
            )


def read_settings(folder: Path) -> Settings:
    """The settings of a folder of shards. Raises ValueError where there are none, or they are damaged."""
    file = folder / SETTINGS
    try:
        content = json.loads(file.read_text())
    except OSError as error:
        raise ValueError(f"{file}: {error.strerror}; name a folder that pipeline/generate.py wrote") from None
    except ValueError as error:
        raise ValueError(f"{file} is damaged ({error}); remove {folder} and generate again") from None
    if faults := misfits(content, Settings):
        raise ValueError(f"{file} is damaged ({faults[0]}); remove {folder} and generate again")
    return cast(Settings, content)


def _flat(value: object, name: str = "") -> Iterator[tuple[str, Any]]:
    """The values of nested JSON objects by dotted names."""
    if not isinstance(value, Mapping):
        yield name, value
        return
    for key, each in value.items():
        yield from _flat(each, f"{name}.{key}".lstrip("."))


def shard_file(folder: Path, number: int) -> Path:
    """Where the shard of that number is."""
    return folder / f"shard-{number:06d}.npz"


def write_shard(folder: Path, number: int, images: Images, first_group: int) -> None:
    """Write images uint8 [G, S, H, W, 3] of the groups from `first_group` on. Raises OSError; then nothing is left."""
    assert images.dtype == np.uint8 and images.ndim == 5 and images.shape[4] == 3, (images.dtype, images.shape)
    group = np.arange(first_group, first_group + len(images), dtype=np.int64)
    with replacing(shard_file(folder, number)) as out:
        np.savez(out, images=images, group=group)


def existing(folder: Path) -> set[int]:
    """Numbers of the shards that are whole: those of truncated or damaged files are left out.

    Reads the directory of each file and its group numbers. The images have checksums that `read_shard` compares.
    """
    return {number for number, file in shard_files(folder).items() if shard_groups(file) is not None}


def shard_files(folder: Path) -> dict[int, Path]:
    """All files with a shard's name by number, in order, whole or not."""
    matches = ((_NAME.fullmatch(file.name), file) for file in folder.glob("shard-*.npz"))
    return dict(sorted((int(match[1]), file) for match, file in matches if match))


def shard_groups(file: Path) -> range | None:
    """The groups of a shard, without reading its images; None where the file is not whole."""
    try:
        with ZipFile(file) as parts, parts.open("group.npy") as part:
            group, length = np.lib.format.read_array(part), parts.getinfo("images.npy").file_size
    except (OSError, ValueError, KeyError, EOFError, BadZipFile):
        return None
    groups = range(int(group[0]), int(group[0]) + len(group)) if len(group) else range(0)
    return groups if np.array_equal(group, groups) and length > 0 else None


def read_shard(file: Path) -> Images:
    """The images of a shard, uint8 [G, S, H, W, 3]. Raises ValueError when it is damaged."""
    try:
        with np.load(file) as parts:
            images: Images = parts["images"]
            whole = images.dtype == np.uint8 and images.shape[:1] == parts["group"].shape
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise ValueError(f"{file} is damaged ({error}); remove it and generate again") from error
    if not whole:
        raise ValueError(
            f"{file} is damaged (its images are {images.dtype} {images.shape}); remove it and generate again"
        )
    return images


def read_groups(folder: Path) -> Iterator[tuple[int, Images]]:
    """(group number, images [S, H, W, 3]) of all shards in order, one shard in memory.

    Raises ValueError where a shard is damaged or groups are missing in between.
    """
    for file, groups in complete(folder):
        yield from zip(groups, read_shard(file), strict=True)


def complete(folder: Path) -> list[tuple[Path, range]]:
    """All shards with their groups, in order. Raises ValueError where there is none, or a gap between two."""
    found: list[tuple[Path, range]] = []
    expected = 0
    for number, file in shard_files(folder).items():
        groups = shard_groups(file)
        if groups is None:
            raise ValueError(f"{file} is damaged; remove it and generate again")
        if number != len(found) or groups.start != expected:
            raise ValueError(f"{folder}: the groups from {expected} to {groups.start - 1} are missing; generate again")
        found.append((file, groups))
        expected = groups.stop
    if not found:
        raise ValueError(f"{folder} holds no shards; generate some first")
    return found


def write_positions(folder: Path, positions: NDArray[np.int64]) -> None:
    """Remember the positions in train.beton of the labelled images that the generator was trained on, int64 [M]."""
    with replacing(folder / POSITIONS) as out:
        np.save(out, np.asarray(positions, np.int64))


def read_positions(folder: Path) -> NDArray[np.int64] | None:
    """The positions that the generator was trained on; None where they are not known."""
    file = folder / POSITIONS
    try:
        return np.load(file).astype(np.int64)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, EOFError) as error:
        raise ValueError(f"{file} is damaged ({error}); remove {folder} and generate again") from error
