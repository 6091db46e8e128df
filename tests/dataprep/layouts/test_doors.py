"""The same photos through every door give the same betons, byte for byte."""

import shutil
from pathlib import Path

import pytest
import zstandard

from tests.support.dataprep_fixtures import make, pack, put_image, read_manifest, zip_of
from tests.support.parquet_fixtures import export_tree

WNIDS = ("n01440764", "n02119789", "n03000684")
VAL = {f"ILSVRC2012_val_{i:08d}": WNIDS[i % 3] for i in range(1, 10)}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """train/<wnid>/ and val/<wnid>/ of photos in several shapes."""
    root = tmp_path_factory.mktemp("photos") / "tree"
    for wnid in WNIDS:
        for i in range(6):
            put_image(root, f"train/{wnid}/{wnid}_{i}.JPEG", (300 - 20 * i, 210 + 7 * i))
    for name, wnid in VAL.items():
        put_image(root, f"val/{wnid}/{name}.JPEG", (240, 320))
    return root


def as_zip(tree: Path, root: Path) -> Path:
    return zip_of(tree, root / "photos.zip", prefix="wrapped/")


def as_tar_zst(tree: Path, root: Path) -> Path:
    file = root / "photos.tar.zst"
    file.write_bytes(zstandard.compress(pack(tree, root / "photos.tar", "w").read_bytes()))
    return file


def as_parquet(tree: Path, root: Path) -> Path:
    export_tree(tree, root / "export", {"train": "train", "val": "val"})
    return root / "export"


def as_kaggle(tree: Path, root: Path) -> Path:
    images = root / "kaggle/ILSVRC/Data/CLS-LOC"
    shutil.copytree(tree / "train", images / "train")
    (images / "val").mkdir()
    for file in tree.glob("val/*/*"):
        shutil.copy(file, images / "val")
    lines = ["ImageId,PredictionString", *(f"{name},{wnid} 1 2 3 4 " for name, wnid in VAL.items())]
    (root / "kaggle/LOC_val_solution.csv").write_text("\n".join(lines))
    return root / "kaggle"


def as_kaggle_zip(tree: Path, root: Path) -> Path:
    return zip_of(as_kaggle(tree, root), root / "kaggle.zip")


def as_list(tree: Path, root: Path) -> Path:
    files = sorted(path.relative_to(tree) for path in tree.rglob("*.JPEG"))
    (root / "labels.csv").write_text("\n".join(f"{file},{file.parts[1]}" for file in files))
    return tree


@pytest.fixture(scope="module")
def made(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("data")
    assert make("folder", "--source", tree, "--out", out) == 0
    return out / "folder"


@pytest.mark.parametrize("door", [as_zip, as_tar_zst, as_parquet, as_kaggle, as_kaggle_zip, as_list])
def test_every_door_gives_the_same(tree: Path, made: Path, tmp_path: Path, door) -> None:
    source = door(tree, tmp_path)
    dataset = "imagenet" if door in (as_kaggle, as_kaggle_zip) else "folder"
    words = ("--labels-from", tmp_path / "labels.csv") if door is as_list else ()
    assert make(dataset, "--source", source, "--name", "other", "--out", tmp_path, *words) == 0
    ours, theirs = read_manifest(tmp_path / "other"), read_manifest(made)
    assert ours["betons"] == theirs["betons"] and ours["file_list"] == theirs["file_list"]
    assert ours["files_sha256"] == theirs["files_sha256"] and ours["classes"] == theirs["classes"]
