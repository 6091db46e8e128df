"""Small real image trees, tars of them, and plain ways to read what dataprep wrote."""

import hashlib
import io
import json
import tarfile
import zipfile
from pathlib import Path

import numpy as np
from ffcv.reader import Reader as BetonReader
from PIL import Image

from dataprep.make_beton import main


def make(*arguments: object) -> int:
    """Run make_beton.py in this process; one worker unless told otherwise."""
    words = [str(argument) for argument in arguments]
    return main(words if "--workers" in words else [*words, "--workers", "1"])


def pixels(name: str, size: tuple[int, int] = (12, 12)) -> np.ndarray:
    """Pixels [H,W,3] that depend on `name` only."""
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "little")
    return np.random.RandomState(seed).randint(0, 256, (size[1], size[0], 3), dtype=np.uint8)


def put_image(root: Path, path: str, size: tuple[int, int] = (12, 12)) -> Path:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels(path, size)).save(file)
    return file


def tree_paths(parts: tuple[str, ...] = ("train/", "test/"), per_class: int = 10) -> list[str]:
    names = [f"{part}{c}/{i}.png" for part in parts for c in ("bee", "ant", "cow") for i in range(per_class)]
    return names if parts != ("train/", "test/") else [*names, "train/ant/deep/er.png"]


def put_tree(root: Path, paths: list[str]) -> Path:
    for path in paths:
        put_image(root, path)
    return root


def pack(root: Path, tar: Path, mode: str, prefix: str = "") -> Path:
    with tarfile.open(tar, mode) as out:  # type: ignore[call-overload]
        out.add(root, arcname=prefix or ".")
    return tar


def zip_of(root: Path, file: Path, method: int = zipfile.ZIP_DEFLATED, prefix: str = "") -> Path:
    with zipfile.ZipFile(file, "w", method) as out:
        for path in sorted(root.rglob("*")):
            out.write(path, f"{prefix}{path.relative_to(root).as_posix()}")
    return file


def read_manifest(folder: Path) -> dict:
    return json.loads((folder / "manifest.json").read_text())


def fingerprint(folder: Path) -> tuple:
    """Everything that must not depend on how the source was packed or listed."""
    content = read_manifest(folder)
    return content["betons"], content["splits"], content["files_sha256"], content["mean"], content["classes"]


def read_raw(beton: Path) -> tuple[np.ndarray, np.ndarray]:
    """(images uint8 [N,H,W,3], labels [N]) of a beton of raw images, by its pointers."""
    reader = BetonReader(str(beton))
    image = reader.metadata["f0"]
    height, width = int(image["height"][0]), int(image["width"][0])
    data = np.fromfile(beton, np.uint8)
    stored = [data[p : p + height * width * 3].reshape(height, width, 3) for p in image["data_ptr"].astype(int)]
    assert (reader.metadata["f2"] == np.arange(len(stored))).all()
    return np.stack(stored), reader.metadata["f1"]


def read_jpegs(beton: Path) -> tuple[np.ndarray, np.ndarray]:
    """(images uint8 [N,H,W,3], labels [N]) of a beton of JPEGs, decoded by Pillow."""
    reader = BetonReader(str(beton))
    data = beton.read_bytes()
    spans = [(int(row["ptr"]), int(row["ptr"] + row["size"])) for row in reader.alloc_table]
    assert (reader.metadata["f2"] == np.arange(len(spans))).all()
    images = [np.asarray(Image.open(io.BytesIO(data[start:end]))) for start, end in spans]
    return np.stack(images), reader.metadata["f1"]


def nothing_left(out: Path, name: str) -> bool:
    return not (out / name).exists() and not list(out.glob(".*"))
