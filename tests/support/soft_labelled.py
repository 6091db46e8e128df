"""A data folder of groups beside the digits: pixel blends, annotated as if an encoder had seen their ratios."""

from pathlib import Path

import numpy as np

from dataprep.generated import shards
from dataprep.generated.pack import pack
from pipeline.annotation.packed import Groups, open_groups
from pipeline.annotation.soft_labelled import ENCODED, SoftLabelled
from pipeline.annotation.stored import Annotation, write_annotation
from pipeline.config import Config
from pipeline.data.dataset import read_manifest
from pipeline.data.group_order import GroupsByClass, Places
from tests.support.blends import SETTINGS, blends, write_shards

GROUPS = 90
NAME = "digits-csm"


def split(data: Path, name: str = "4-seed0") -> np.ndarray:
    """Positions of a labelled split of the digits."""
    return np.load(data / "digits/splits" / f"{name}.npy")


def put_groups(root: Path, data: Path) -> Path:
    """A DATA of its own, with digits/ of ``data`` and digits-csm/, made and annotated by the split 4-seed0."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "digits").symlink_to((data / "digits").resolve())
    side = read_manifest(data / "digits", Config(dataset="digits"))["stored_size"]
    images = np.ascontiguousarray(blends(GROUPS)[:, :, :: 32 // side, :: 32 // side])
    made = write_shards(root / "shards", images, {**SETTINGS, "side": side})
    shards.write_positions(made, split(data))
    pack(made, root / NAME, 1)
    groups = open_groups(root / NAME)
    write_annotation(groups, annotation(groups, split(data)))
    return root


def annotation(groups: Groups, positions: np.ndarray) -> Annotation:
    """The ratios and a little noise, by an encoder that was trained on ``positions``."""
    random = np.random.default_rng(0)
    ratios = np.tile(groups.ratios, len(groups.first))
    return Annotation(
        lambda_e=(ratios + random.normal(0, 0.1, len(ratios))).astype(np.float32),
        zero_shot=random.dirichlet(np.ones(len(groups.classes)), len(ratios)).astype(np.float32),
        prototypes=random.random((10, 3), np.float32),
        encoder="runs/encoder",
        encoder_sha256="0",
        dataset="digits",
        prototype_positions=positions,
        encoder_positions=positions,
        temperature=0.0,
    )


def made_up(config: Config, first: list[int], second: list[int], classes: int, places: int = 4) -> SoftLabelled:
    """Groups between these classes, without images; annotated where ``augmented.labels`` needs it."""
    pair = np.array(first), np.array(second)
    ratios = np.arange(places) / (places - 1)
    groups = Groups(Path("none"), "digits", [str(k) for k in range(classes)], 8, *pair, ratios, None, "0")
    encoded = annotation(groups, np.arange(3)) if config.augmented.labels in ENCODED else None
    return SoftLabelled(groups, encoded, GroupsByClass.of(*pair, classes), Places.of(config.augmented, places), [])
