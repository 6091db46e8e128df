"""Tiny-ImageNet from its zip or the folder unpacked from it: val is the test split, and what is missing is named."""

import io
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dataprep.layouts import tiny_imagenet
from tests.support.dataprep_fixtures import fingerprint, make, nothing_left, read_manifest, zip_of
from tests.support.made_folders import check_raw_folder
from tests.support.native_fixtures import Labelled, put, put_tiny_imagenet

Output = pytest.CaptureFixture[str]
WNIDS = ["n02124075", "n04067472", "n01443537", "n03085013"]  # not sorted, as in the original
NAME = "tiny-imagenet-200"


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory that holds tiny-imagenet-200/."""
    root = tmp_path_factory.mktemp("unpacked")
    put_tiny_imagenet(root, WNIDS, per_class=5, val=8)
    return root


@pytest.fixture(scope="module")
def made(unpacked: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("data")
    assert make("tiny_imagenet", "--source", unpacked, "--out", out) == 0
    return out / "tiny_imagenet"


def decoded(images: list[tuple[bytes, str]]) -> Labelled:
    number = {wnid: c for c, wnid in enumerate(sorted(WNIDS))}
    return [(np.asarray(Image.open(io.BytesIO(data)).convert("RGB")), number[wnid]) for data, wnid in images]


def test_val_is_the_test_split(made: Path, tmp_path: Path) -> None:
    written = put_tiny_imagenet(tmp_path, WNIDS, per_class=5, val=8)
    check_raw_folder(made, 64, decoded(written["train"]), decoded(written["val"]))
    content = read_manifest(made)
    assert content["classes"] == sorted(WNIDS) and content["crop_padding"] == 8
    assert content["counts"]["test_per_class"] == [2, 2, 2, 2]


@pytest.mark.parametrize("door", ["zip", "directory of the zip", "zip without a folder", "the folder itself"])
def test_every_door_gives_the_same(unpacked: Path, made: Path, tmp_path: Path, door: str) -> None:
    source = unpacked / NAME
    if "zip" in door:
        prefix = "" if door == "zip without a folder" else f"{NAME}/"
        source = zip_of(unpacked / NAME, tmp_path / f"{NAME}.zip", zipfile.ZIP_DEFLATED, prefix)
    given = tmp_path if door == "directory of the zip" else source
    assert make("tiny_imagenet", "--source", given, "--out", tmp_path) == 0
    assert fingerprint(tmp_path / "tiny_imagenet") == fingerprint(made)


def test_what_is_said(unpacked: Path, tmp_path: Path, capsys: Output) -> None:
    """Counts beside the published ones; the last line tells which part the test images are."""
    assert make("tiny_imagenet", "--source", unpacked, "--out", tmp_path) == 0
    *said, last = capsys.readouterr().out.splitlines()
    text = "\n".join(said)
    assert "classes: 4, 196 fewer than the official 200" in text
    assert "training images: 20, 1,980 fewer than the official 2,000" in text
    assert "validation images: 8, 192 fewer than the official 200" in text
    assert last.endswith("test is the official val: the official test has no labels")


def remove(path: str) -> Callable[[Path], object]:
    return lambda root: (root / path).unlink()


def annotate(line: str) -> Callable[[Path], object]:
    def change(root: Path) -> None:
        with (root / "val/val_annotations.txt").open("a") as file:
            file.write(f"{line}\n")

    return change


def empty(path: str) -> Callable[[Path], object]:
    return lambda root: [file.unlink() for file in (root / path).iterdir()]


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (remove("wnids.txt"), "wnids.txt is missing; name tiny-imagenet-200.zip as it was downloaded, or unpack"),
        (remove("val/val_annotations.txt"), "val/val_annotations.txt is missing;"),
        (
            lambda root: shutil.rmtree(root / "train"),
            "no image in train/n01443537/images/, nor of 3 others that wnids.txt lists",
        ),
        (empty("train/n03085013/images"), "there is no image in train/n03085013/images/; name"),
        (empty("val/images"), "val/images/ lacks 8 images that val/val_annotations.txt lists, for example val_0.JPEG"),
        (remove("val/images/val_3.JPEG"), "val/images/ lacks 1 image that val/val_annotations.txt lists"),
        (lambda root: put(root / "val/images/x.JPEG", b""), "does not list 1 image of val/images/, for example x.JPEG"),
        (annotate("val_1.JPEG\tn01443537\t1"), "val/val_annotations.txt, line 9 repeats an image: 'val_1.JPEG"),
        (annotate("val_9.JPEG\tn0144"), "val/val_annotations.txt, line 9 is not 'name<tab>wnid ...'"),
        (lambda root: put(root / "wnids.txt", b"n01443537\nfish\n"), "wnids.txt is not a list of distinct wnids"),
        (lambda root: put(root / "wnids.txt", b"n01443537\n" * 2), "wnids.txt is not a list of distinct wnids"),
    ],
)
def test_what_is_missing_or_damaged(
    unpacked: Path, tmp_path: Path, capsys: Output, damage: Callable[[Path], object], words: str
) -> None:
    shutil.copytree(unpacked / NAME, tmp_path / "source" / NAME)
    damage(tmp_path / "source" / NAME)
    assert make("tiny_imagenet", "--source", tmp_path / "source", "--out", tmp_path) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and words in error and nothing_left(tmp_path, "tiny_imagenet")


@pytest.mark.parametrize(
    ("kind", "words"),
    [("cut", "not a complete zip file"), ("other", "wnids.txt is missing"), ("text", "cannot be read")],
)
def test_damaged_zips(unpacked: Path, tmp_path: Path, capsys: Output, kind: str, words: str) -> None:
    file = zip_of(unpacked, tmp_path / f"{NAME}.zip", zipfile.ZIP_STORED if kind == "cut" else zipfile.ZIP_DEFLATED)
    if kind == "cut":
        file.write_bytes(file.read_bytes()[:9000])
    elif kind == "other":
        zip_of(unpacked / NAME / "train", file)
    else:
        data = bytearray(file.read_bytes())
        start = data.index(f"{NAME}/wnids.txt".encode()) + len(f"{NAME}/wnids.txt")
        data[start : start + 9] = b"\xff" * 9
        file.write_bytes(data)
    assert make("tiny_imagenet", "--source", file, "--out", tmp_path / "data") == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and words in error and f"{NAME}.zip" in error
    assert nothing_left(tmp_path / "data", "tiny_imagenet")


def test_the_official_zip_of_another_checksum_is_refused(
    unpacked: Path, tmp_path: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = zip_of(unpacked, tmp_path / f"{NAME}.zip")
    monkeypatch.setattr(tiny_imagenet, "BYTES", file.stat().st_size)
    assert make("tiny_imagenet", "--source", tmp_path, "--out", tmp_path / "data") == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and f"{NAME}.zip: as long as the official file but of another checksum" in error


def test_classes_that_are_not_listed_are_left_out(unpacked: Path, tmp_path: Path, capsys: Output) -> None:
    shutil.copytree(unpacked / NAME, tmp_path / NAME)
    put(tmp_path / NAME / "wnids.txt", "\n".join(WNIDS[:3]).encode())
    assert make("tiny_imagenet", "--source", tmp_path, "--out", tmp_path, "--dry-run") == 0
    said = capsys.readouterr().out
    assert "left out 7 images of classes that wnids.txt does not list" in said and "15 train" in said


def test_where_to_get_it(tmp_path: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiny_imagenet, "ADDRESS", f"http://127.0.0.1:9/{NAME}.zip")  # where nothing listens
    assert make("tiny_imagenet", "--out", tmp_path) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert "tiny_imagenet cannot be downloaded" in error
    assert f"{NAME}.zip missing; put it into {tmp_path}/raw/tiny_imagenet; fetch http://127.0.0.1:9/" in error
    assert nothing_left(tmp_path, "tiny_imagenet")
