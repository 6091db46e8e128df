"""ILSVRC2012 in the layouts people have, above all a flat val/ whose ids are not those of sorted wnids."""

import io
import tarfile
from pathlib import Path

import pytest

from tests.support.dataprep_fixtures import fingerprint, make, nothing_left, read_manifest, zip_of
from tests.support.made_folders import check_photos, evaluated, opened
from tests.support.native_fixtures import WNIDS, copy, jpeg, put, put_devkit, tar_of

IDS = {1: WNIDS[2], 2: WNIDS[0], 3: WNIDS[3], 4: WNIDS[1]}  # ILSVRC's ids follow no order of wnids
TRUTH = [3, 1, 1, 4, 2, 3, 4, 2]
VAL = [f"ILSVRC2012_val_{i:08d}.JPEG" for i in range(1, 9)]
Output = pytest.CaptureFixture[str]


def train_files() -> dict[str, dict[str, bytes]]:
    return {wnid: {f"{wnid}_{i}.JPEG": jpeg(f"{wnid}_{i}") for i in (12, 7, 301)} for wnid in WNIDS}


@pytest.fixture(scope="module")
def flat(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """train/<wnid>/, a flat val/, the development kit unpacked."""
    root = tmp_path_factory.mktemp("ilsvrc") / "flat"
    for wnid, files in train_files().items():
        for name, data in files.items():
            put(root / "train" / wnid / name, data)
    for name in VAL:
        put(root / "val" / name, jpeg(name))
    put_devkit(root, IDS, TRUTH)
    return root


@pytest.fixture(scope="module")
def made(flat: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("data")
    assert make("imagenet", "--source", flat, "--out", out) == 0
    return out / "imagenet"


def put_tars(flat: Path, root: Path) -> Path:
    """The three original archives: a tar of tars, a flat tar, a tar.gz."""
    root.mkdir()
    inner = {}
    for wnid, files in train_files().items():
        packed = tar_of(root / "inner", files)
        inner[f"{wnid}.tar"] = packed.read_bytes()
        packed.unlink()
    tar_of(root / "ILSVRC2012_img_train.tar", dict(reversed(inner.items())))
    tar_of(root / "ILSVRC2012_img_val.tar", {name: jpeg(name) for name in reversed(VAL)})
    with tarfile.open(root / "ILSVRC2012_devkit_t12.tar.gz", "w:gz") as tar:
        tar.add(flat / "ILSVRC2012_devkit_t12", "ILSVRC2012_devkit_t12")
    return root


def put_sorted(flat: Path, root: Path) -> Path:
    copy(flat, root, "*devkit*", "val")
    for name, number in zip(VAL, TRUTH, strict=True):
        put(root / "val" / IDS[number] / name, jpeg(name))
    return root


def test_flat_val_is_labelled_by_the_kit(made: Path) -> None:
    content = read_manifest(made)
    assert content["classes"] == WNIDS
    assert (content["image_size"], content["stored_size"], content["flip"]) == (224, 256, True)
    assert content["counts"]["train_per_class"] == [3] * 4 and content["counts"]["test_per_class"] == [2] * 4
    train = [(data, WNIDS.index(wnid)) for wnid, files in train_files().items() for data in files.values()]
    check_photos(made / "train.beton", train, through_loader=True)
    val = [(jpeg(name), WNIDS.index(IDS[number])) for name, number in zip(VAL, TRUTH, strict=True)]
    check_photos(made / "test.beton", val)
    images, labels = evaluated(made)
    assert images.shape == (8, 224, 224, 3) and sorted(labels) == [0, 0, 1, 1, 2, 2, 3, 3]
    names = {name.removesuffix("-seed2") for name in content["splits"] if name.endswith("seed2")}
    assert names == {"10pct", "10pct-stratified", "all"}
    assert len(opened(made, "10pct-stratified").split) == 4


def put_kaggle(flat: Path, root: Path) -> Path:
    """As unpacked from Kaggle's archive; the solution's lines are in no order, and name more images than there are."""
    images = root / "ILSVRC/Data/CLS-LOC"
    copy(flat, images, "*devkit*")
    put(images / "test/ILSVRC2012_test_00000001.JPEG", jpeg("test"))
    put(root / "ILSVRC/Annotations/CLS-LOC/val/ILSVRC2012_val_00000001.xml", b"<annotation/>")
    lines = [
        f"ILSVRC2012_val_{i:08d},{IDS[number]} 1 2 3 4 {IDS[number]} 5 6 7 8 " for i, number in enumerate(TRUTH, 1)
    ]
    lines += ["ILSVRC2012_val_00000011,n04591157 1 2 3 4"]
    put(root / "LOC_val_solution.csv", "\n".join(["ImageId,PredictionString", *reversed(lines)]).encode())
    return root


def put_kaggle_zip(flat: Path, root: Path) -> Path:
    folder = put_kaggle(flat, root.with_name("unzipped"))
    root.mkdir()
    return zip_of(folder, root / "imagenet-object-localization-challenge.zip")


def put_inner_folder(flat: Path, root: Path) -> Path:
    return put_kaggle(flat, root) / "ILSVRC/Data/CLS-LOC"


@pytest.mark.parametrize("layout", [put_tars, put_sorted, put_kaggle, put_kaggle_zip, put_inner_folder])
def test_other_layouts_give_the_same(flat: Path, made: Path, tmp_path: Path, layout) -> None:
    source = layout(flat, tmp_path / "source")
    before = sorted(source.rglob("*"))
    assert make("imagenet", "--source", source, "--out", tmp_path) == 0
    assert fingerprint(tmp_path / "imagenet") == fingerprint(made)
    assert sorted(source.rglob("*")) == before and not list(tmp_path.glob(".*")), "unpacked something"


def test_a_subset_is_reported(flat: Path, tmp_path: Path, capsys: Output) -> None:
    source = copy(flat, tmp_path / "source", WNIDS[1])
    put(source / "train/stray.JPEG", jpeg("stray"))
    put(source / "train/thumbnails/small.JPEG", jpeg("small"))
    assert make("imagenet", "--source", source, "--out", tmp_path) == 0
    said = capsys.readouterr().out
    assert "classes: 3, 997 fewer than the official 1,000" in said
    assert "training images: 9, 1,281,158 fewer" in said and "validation images: 6, 49,994 fewer" in said
    assert "left out 2 validation images of classes without training images" in said
    assert "ignored 2 images outside the wnid folders, for example train/stray.JPEG" in said
    assert read_manifest(tmp_path / "imagenet")["classes"] == [WNIDS[0], WNIDS[2], WNIDS[3]]


def test_flat_val_without_the_kit(flat: Path, tmp_path: Path, capsys: Output) -> None:
    source = copy(flat, tmp_path / "source", "*devkit*")
    assert make("imagenet", "--source", source, "--out", tmp_path) == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1 and "val/ is flat" in message and "ILSVRC2012_devkit_t12.tar.gz" in message
    assert nothing_left(tmp_path, "imagenet")


def test_damage_is_named(flat: Path, tmp_path: Path, capsys: Output) -> None:
    source = put_tars(flat, tmp_path / "source")
    whole = (source / "ILSVRC2012_img_train.tar").read_bytes()
    with tarfile.open(fileobj=io.BytesIO(whole)) as tar:
        inner = {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]
    # tarfile ends a tar with 10 KB of zeros; this cut goes into the last image of an otherwise intact archive.
    tar_of(source / "ILSVRC2012_img_train.tar", {name: data[:-9000] for name, data in inner.items()})
    assert make("imagenet", "--source", source, "--out", tmp_path) == 2
    assert f"its member {WNIDS[-1]}.tar is damaged (truncated)" in capsys.readouterr().err
    put(source / "ILSVRC2012_img_train.tar", whole[: len(whole) // 2])
    assert make("imagenet", "--source", source, "--out", tmp_path) == 2
    assert "ILSVRC2012_img_train.tar: not a complete tar file" in capsys.readouterr().err
    put(source / "ILSVRC2012_img_train.tar", whole)
    kit = source / "ILSVRC2012_devkit_t12.tar.gz"
    put(kit, kit.read_bytes()[:300])
    assert make("imagenet", "--source", source, "--out", tmp_path) == 2
    assert "not a complete archive" in capsys.readouterr().err
    (source / "ILSVRC2012_img_val.tar").unlink()
    assert make("imagenet", "--source", source, "--out", tmp_path) == 2
    assert "neither val/ nor ILSVRC2012_img_val.tar" in capsys.readouterr().err


def test_numbers_beyond_the_ground_truth(flat: Path, tmp_path: Path, capsys: Output) -> None:
    source = copy(flat, tmp_path / "source")
    put(source / "val/ILSVRC2012_val_00000009.JPEG", jpeg("ninth"))
    assert make("imagenet", "--source", source, "--out", tmp_path) == 2
    message = capsys.readouterr().err
    assert "'ILSVRC2012_val_00000009.JPEG'" in message and "to ILSVRC2012_val_00000008.JPEG only" in message


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"ImageId,PredictionString\nILSVRC2012_val_00000001,n02119789 1 2 3 4\n", "does not list it"),
        (b"ImageId,PredictionString\nILSVRC2012_val_00000001,fox 1 2 3 4\n", "line 2"),
        (b"id,label\n", "ImageId,PredictionString"),
    ],
)
def test_a_wrong_solution_is_named(line: bytes, words: str, flat: Path, tmp_path: Path, capsys: Output) -> None:
    source = put_kaggle(flat, tmp_path / "source")
    put(source / "LOC_val_solution.csv", line)
    assert make("imagenet", "--source", source, "--out", tmp_path / "data") == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "LOC_val_solution.csv" in error and words in error


def test_an_archive_without_imagenet(tmp_path: Path, capsys: Output) -> None:
    put(tmp_path / "source/cat/1.JPEG", jpeg("cat"))
    file = zip_of(tmp_path / "source", tmp_path / "set.zip")
    assert make("imagenet", "--source", file, "--out", tmp_path / "data") == 2
    assert "set.zip" in capsys.readouterr().err
