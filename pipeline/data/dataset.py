"""A data folder made by dataprep/make_beton.py, checked before anything starts.

Everything a user can get wrong about data is one ``ValueError`` here: no process group and no file exists yet.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.config.options import Config
from pipeline.data.ffcv_start import ALLOC_TABLE_TYPE, CURRENT_VERSION, FieldDescType, HeaderType, Reader

LONG_TAIL = re.compile(r"lt(\d[\d.]*)")  # names of long-tailed splits: the ratio of the first class to the last
IMAGE, INTEGER = 2, 1  # FFCV's numbers of types of fields
NAMED_SETS = (  # others are folders
    "digits", "cifar10", "cifar100", "svhn", "stl10", "fashion_mnist", "tiny_imagenet", "imagenet", "webvision",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Validation images: those at ``indices`` [M] of a beton, or all of it (None). No step sees their labels.

    Nor them, unless ``unlabelled.include_validation`` says so.
    """

    beton: Path
    indices: NDArray[np.int64] | None


@dataclass(frozen=True, slots=True)
class Dataset:
    """What training needs to know of DATA/NAME."""

    folder: Path
    classes: list[str]
    image_size: int
    stored_size: int
    crop_padding: int
    flip: bool
    mean: tuple[float, ...]  # of the training images, in [0, 1]
    std: tuple[float, ...]
    split: NDArray[np.int64]  # labelled positions in train.beton, sorted
    num_train: int
    train_labels: NDArray[np.int64]  # of the split alone, all that a step may know
    hidden_labels: NDArray[np.int64]  # of every training image, -1 = none: for the log alone
    validation: HeldOut | None = None

    @property
    def train_beton(self) -> Path:
        return self.folder / "train.beton"

    @property
    def test_beton(self) -> Path:
        return self.folder / "test.beton"

    def not_unlabelled(self, include_labelled: bool, include_validation: bool = False) -> NDArray[np.int64]:
        """Positions in train.beton never drawn as unlabelled images: validation and labels, unless included."""
        indices = self.validation.indices if self.validation else None
        held_out = np.empty(0, np.int64) if indices is None or include_validation else indices
        return held_out if include_labelled else np.union1d(held_out, self.split)

    def left_out_of(self, config: Config) -> NDArray[np.int64]:
        """``not_unlabelled`` as the options say."""
        return self.not_unlabelled(config.unlabelled.include_labelled, config.unlabelled.include_validation)


def open_dataset(config: Config) -> Dataset:
    """DATA/NAME with the split of ``config.labels`` and ``config.seed``. Raises ValueError."""
    folder = Path(config.data) / config.dataset
    manifest = read_manifest(folder, config)
    train, test = open_beton(folder / "train.beton"), open_beton(folder / "test.beton")
    for name, reader in (("train.beton", train), ("test.beton", test)):
        if differs := _difference(reader, manifest):
            remedy = f"make the folder again with {_remedy(config)}"
            raise ValueError(f"{folder / name}: {differs} its manifest.json; {remedy}")
    validation = _validation(folder, manifest, config, train)
    split = _read_split(folder, manifest, config, train)
    if validation and validation.indices is not None:
        split = np.setdiff1d(split, validation.indices, assume_unique=True)
    return Dataset(
        folder=folder,
        classes=manifest["classes"],
        image_size=manifest["image_size"],
        stored_size=manifest["stored_size"],
        crop_padding=manifest["crop_padding"],
        flip=manifest["flip"] if config.augment.flip is None else config.augment.flip,
        mean=tuple(manifest["mean"]),
        std=tuple(max(s, 1e-6) for s in manifest["std"]),
        split=split,
        num_train=int(train.num_samples),
        train_labels=train.metadata["f1"][split].astype(np.int64),
        hidden_labels=train.metadata["f1"].astype(np.int64),
        validation=validation,
    )


def open_beton(path: Path, numbers: tuple[str, ...] = ("label",)) -> Reader:
    """FFCV's reader of ``path``, after the checks that it does not make. Raises ValueError.

    ``numbers``: its fields of integers, between image and index.
    """
    try:
        size, header = path.stat().st_size, np.fromfile(path, dtype=HeaderType, count=1)
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror}); make it with dataprep/make_beton.py") from None
    if len(header) == 0 or header[0]["version"] != CURRENT_VERSION:
        raise ValueError(f"{path}: not a beton of FFCV version {CURRENT_VERSION}; make it again")
    fields = np.fromfile(path, dtype=FieldDescType, count=int(header[0]["num_fields"]), offset=HeaderType.itemsize)
    found = {bytes(f["name"]).rstrip(b"\0").decode("ascii", "replace"): int(f["type_id"]) for f in fields}
    if list(found.items()) != [("image", IMAGE), *((name, INTEGER) for name in (*numbers, "index"))]:
        raise ValueError(
            f"{path}: other fields, or types ({', '.join(found)}), than dataprep/make_beton.py writes; use that"
        )
    table = int(header[0]["alloc_table_ptr"])
    if size - table != int(header[0]["num_samples"]) * ALLOC_TABLE_TYPE.itemsize:
        raise ValueError(f"{path}: truncated or damaged ({size:,} bytes); make it again")
    return Reader(str(path))


def _difference(reader: Reader, manifest: dict[str, Any]) -> str:
    """How a beton contradicts the manifest beside it; empty where it does not."""
    images, labels = reader.metadata["f0"], reader.metadata["f1"]
    side, num_classes = manifest["stored_size"], len(manifest["classes"])
    if len(labels) == 0 or labels.max() >= num_classes:
        return f"labels do not fit the {num_classes} classes of"
    if (images["width"] != side).any() or (images["height"] != side).any():
        return f"images are not squares of {side} px as in"
    return ""


def _remedy(config: Config) -> str:
    """The command that makes the folder: of a known set, or of the user's own images."""
    known = config.dataset in NAMED_SETS
    source = config.dataset if known else f"folder --name {config.dataset} --source PATH"
    return f"python dataprep/make_beton.py {source} --out {config.data}"


def read_manifest(folder: Path, config: Config) -> dict[str, Any]:
    path = folder / "manifest.json"
    try:
        manifest = json.loads(path.read_text())
    except OSError:
        raise ValueError(f"{path}: no such data set; make it with {_remedy(config)}, or set data=") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}: damaged ({error}); make the folder again with {_remedy(config)}") from None
    wanted = {"classes", "image_size", "stored_size", "crop_padding", "flip", "mean", "std", "splits", "counts"}
    if missing := wanted - set(manifest):
        raise ValueError(f"{path}: lacks {', '.join(sorted(missing))}; make the folder again with {_remedy(config)}")
    return manifest


def _validation(folder: Path, manifest: dict[str, Any], config: Config, train: Reader) -> HeldOut | None:
    if not config.validation:
        beton = folder / "validation.beton"
        if config.validation == 0 or not beton.exists():
            return None
        if differs := _difference(open_beton(beton), manifest):
            raise ValueError(f"{beton}: {differs} its manifest.json; make the folder again with {_remedy(config)}")
        return HeldOut(beton, None)
    name = f"validation-{config.validation}-seed{config.seed}"
    if name not in manifest["splits"] or not (folder / "splits" / f"{name}.npy").exists():
        how = f"--validation {config.validation} --seeds {config.seed}"
        raise ValueError(
            f"{folder}: no split {name}; add it with {_remedy(config)} {how}, or choose another validation="
        )
    return HeldOut(folder / "train.beton", _positions(folder, name, config, train))


def _read_split(folder: Path, manifest: dict[str, Any], config: Config, train: Reader) -> NDArray[np.int64]:
    name = config.split_among(manifest["splits"])
    if name not in manifest["splits"] or not (folder / "splits" / f"{name}.npy").exists():
        raise ValueError(_no_split(folder, manifest, config, name))
    return _positions(folder, name, config, train)


def _positions(folder: Path, name: str, config: Config, train: Reader) -> NDArray[np.int64]:
    path = folder / "splits" / f"{name}.npy"
    split = np.load(path)
    labels = train.metadata["f1"]
    if split.size == 0 or split.max() >= len(labels) or (labels[split] < 0).any():
        raise ValueError(f"{path}: does not belong to this train.beton; make the folder again with {_remedy(config)}")
    return split.astype(np.int64)


def _no_split(folder: Path, manifest: dict[str, Any], config: Config, name: str) -> str:
    known = ", ".join(sorted(manifest["splits"])) or "none"
    tail = LONG_TAIL.fullmatch(config.labels)
    if not config.labels[:1].isdigit() and config.labels != "all" and not tail:
        return (
            f"{folder}: no split {config.labels} (has: {known}); add it with {_remedy(config)} "
            f"--split {config.labels}=FILE, or choose another labels="
        )
    fewest = min(manifest["counts"].get("train_per_class", [0]))
    if config.labels.isdigit() and int(config.labels) > fewest:
        return (
            f"labels={config.labels}: {folder / 'train.beton'} has a class of only {fewest} labelled images; "
            f"choose labels={fewest} or fewer (splits here: {known})"
        )
    how = f"--labels-per-class {config.labels} " if config.labels.isdigit() else ""
    how = f"--long-tail {tail[1]} " if tail else how
    return (
        f"{folder}: no split {name} (has: {known}); add it with "
        f"{_remedy(config)} {how}--seeds {config.seed}, or choose another labels= or seed="
    )
