"""Tiny sets in the formats of the originals: CIFAR's pickles, SVHN's .mat, STL-10's .bin, idx files, ILSVRC's kit."""

import gzip
import io
import pickle
import shutil
import struct
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import savemat

from tests.support.dataprep_fixtures import pixels

WNIDS = ["n01440764", "n02119789", "n03000684", "n04591157"]
Labelled = list[tuple[np.ndarray, int]]


def random_images(seed: int, count: int, size: int) -> np.ndarray:
    """uint8 [count,size,size,3], all different."""
    return np.random.RandomState(seed).randint(0, 256, (count, size, size, 3), dtype=np.uint8)


class Python2Pickler(pickle._Pickler):  # type: ignore[name-defined]
    """Writes byte strings as Python 2 did, which made the originals; Python 3 would write a call to encode."""

    dispatch = pickle._Pickler.dispatch.copy()  # type: ignore[attr-defined]

    def save_bytes(self, data: bytes) -> None:
        short = len(data) < 256
        self.write((b"U" + bytes([len(data)]) if short else b"T" + struct.pack("<i", len(data))) + data)
        self.memoize(data)

    dispatch[bytes] = save_bytes


def put_pickle(file: Path, content: dict) -> None:
    with file.open("wb") as out:
        Python2Pickler(out, protocol=2).dump(content)


def put_cifar(root: Path, classes: int, per_file: int) -> dict[str, Labelled]:
    """The folder cifar-10-batches-py (10 classes) or cifar-100-python (100) below `root`."""
    ten = classes == 10
    folder = root / ("cifar-10-batches-py" if ten else "cifar-100-python")
    folder.mkdir(parents=True)
    train = [f"data_batch_{i}" for i in range(1, 6)] if ten else ["train"]
    written: dict[str, Labelled] = {"train": [], "test": []}
    for seed, name in enumerate([*train, "test_batch" if ten else "test"]):
        images = random_images(seed, per_file, 32)
        labels = [int(n) % classes for n in np.arange(per_file) + seed]
        fine = {b"labels": labels} if ten else {b"fine_labels": labels, b"coarse_labels": [n // 5 for n in labels]}
        batch = {b"data": images.transpose(0, 3, 1, 2).reshape(per_file, 3072), b"filenames": [b"x.png"] * per_file}
        put_pickle(folder / name, {**batch, **fine})
        written["test" if name.startswith("test") else "train"] += zip(images, labels, strict=True)
    names = [f"class {c}".encode() for c in range(classes)]
    meta = {b"label_names" if ten else b"fine_label_names": names}
    put_pickle(folder / ("batches.meta" if ten else "meta"), meta)
    return written


def put_svhn(root: Path, counts: dict[str, int]) -> dict[str, Labelled]:
    """PART_32x32.mat: X uint8 [32,32,3,N], y uint8 [N,1] with 10 for the digit 0."""
    root.mkdir(parents=True, exist_ok=True)
    written: dict[str, Labelled] = {}
    for seed, (part, count) in enumerate(counts.items()):
        images = random_images(100 + seed, count, 32)
        labels = (np.arange(count) + seed) % 10
        y = np.where(labels == 0, 10, labels).astype(np.uint8)[:, None]
        savemat(root / f"{part}_32x32.mat", {"X": images.transpose(1, 2, 3, 0), "y": y}, do_compression=True)
        written[part] = [(image, int(label)) for image, label in zip(images, labels, strict=True)]
    return written


def put_stl10(root: Path, labelled: int, unlabelled: int) -> dict[str, Labelled]:
    """stl10_binary: images column by column, channel by channel; labels from 1."""
    folder = root / "stl10_binary"
    folder.mkdir(parents=True)
    written: dict[str, Labelled] = {}
    for seed, (part, count) in enumerate((("train", labelled), ("unlabeled", unlabelled), ("test", labelled))):
        images = random_images(200 + seed, count, 96)
        images.transpose(0, 3, 2, 1).tofile(folder / f"{part}_X.bin")
        labels = np.full(count, -1) if part == "unlabeled" else (np.arange(count) * 3) % 10
        if part != "unlabeled":
            (labels + 1).astype(np.uint8).tofile(folder / f"{part}_y.bin")
        written[part] = [(image, int(label)) for image, label in zip(images, labels, strict=True)]
    return written


def idx(array: np.ndarray) -> bytes:
    """An idx file of bytes: two zeros, the type, the dimensions, their sizes from the high byte down, the numbers."""
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.astype(np.uint8).tobytes()


def put_fashion_mnist(root: Path, counts: dict[str, int], *, packed: bool = True) -> dict[str, Labelled]:
    """The four files, as .gz or unpacked; counts: images of train and t10k. Grey images as they should be stored."""
    root.mkdir(parents=True, exist_ok=True)
    written: dict[str, Labelled] = {}
    for seed, (part, count) in enumerate(counts.items()):
        images = np.random.RandomState(300 + seed).randint(0, 256, (count, 28, 28), dtype=np.uint8)
        labels = (np.arange(count) * 7 + seed) % 10
        for name, array in ((f"{part}-images-idx3-ubyte", images), (f"{part}-labels-idx1-ubyte", labels)):
            data = idx(array)
            put(root / (f"{name}.gz" if packed else name), gzip.compress(data) if packed else data)
        stored = np.repeat(images[..., None], 3, axis=3)
        written[part] = [(image, int(label)) for image, label in zip(stored, labels, strict=True)]
    return written


def put_tiny_imagenet(root: Path, wnids: list[str], per_class: int, val: int) -> dict[str, list[tuple[bytes, str]]]:
    """The folder tiny-imagenet-200 below `root`, a few grey images among the others; (JPEG, wnid) of train and val."""
    folder, size = root / "tiny-imagenet-200", (64, 64)
    put(folder / "wnids.txt", "".join(f"{wnid}\n" for wnid in wnids).encode())
    put(folder / "words.txt", "".join(f"{wnid}\ta word, another\n" for wnid in wnids).encode())
    written: dict[str, list[tuple[bytes, str]]] = {"train": [], "val": []}
    for wnid in wnids:
        for i in range(per_class):
            data = jpeg(f"{wnid}_{i}", size, "L" if i == 0 else "RGB")
            put(folder / f"train/{wnid}/images/{wnid}_{i}.JPEG", data)
            written["train"].append((data, wnid))
        put(folder / f"train/{wnid}/{wnid}_boxes.txt", f"{wnid}_0.JPEG\t0\t0\t62\t62\n".encode())
    lines = []
    for i in range(val):
        data, wnid = jpeg(f"val_{i}", size), wnids[i * 3 % len(wnids)]
        put(folder / f"val/images/val_{i}.JPEG", data)
        lines.append(f"val_{i}.JPEG\t{wnid}\t0\t32\t44\t62\n")
        written["val"].append((data, wnid))
    put(folder / "val/val_annotations.txt", "".join(lines).encode())
    for i in range(2):
        put(folder / f"test/images/test_{i}.JPEG", jpeg(f"test_{i}", size))
    return written


def jpeg(name: str, size: tuple[int, int] = (40, 30), mode: str = "RGB") -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels(name, size)).convert(mode).save(out, "JPEG", quality=95)
    return out.getvalue()


def put(file: Path, data: bytes) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)
    return file


def put_devkit(root: Path, ids: dict[int, str], truth: list[int]) -> Path:
    """ILSVRC2012_devkit_t12/data with meta.mat (leaves, then an inner node, as the original) and ground truth."""
    kinds = [("ILSVRC2012_ID", "O"), ("WNID", "O"), ("words", "O"), ("gloss", "O"), ("num_children", "O")]
    synsets = np.zeros((len(ids) + 1, 1), dtype=kinds)
    rows = [(number, wnid, f"words of {wnid}", "a gloss", 0) for number, wnid in ids.items()]
    for element, row in zip(synsets, [*rows, (len(ids) + 1, "n00001740", "entity", "a gloss", 2)], strict=True):
        element[0] = row
    data = root / "ILSVRC2012_devkit_t12" / "data"
    data.mkdir(parents=True)
    savemat(data / "meta.mat", {"synsets": synsets})
    (data / "ILSVRC2012_validation_ground_truth.txt").write_text("".join(f"{number}\n" for number in truth))
    return data.parent


def tar_of(file: Path, members: dict[str, bytes], mode: str = "w") -> Path:
    with tarfile.open(file, mode) as tar:  # type: ignore[call-overload]
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return file


def copy(folder: Path, to: Path, *leave_out: str) -> Path:
    shutil.copytree(folder, to, ignore=shutil.ignore_patterns(*leave_out))
    return to
