"""A data folder that does not fit is one line that names the remedy."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from ffcv.types import FieldDescType, HeaderType

from pipeline import config
from pipeline.data.dataset import Dataset, open_beton, open_dataset


@pytest.fixture
def copy(data: Path, tmp_path: Path) -> Path:
    shutil.copytree(data / "digits", tmp_path / "digits")
    return tmp_path


def opened(folder: Path, *sets: str) -> Dataset:
    return open_dataset(config.load(None, ["dataset=digits", f"data={folder}", *sets]))


def test_a_good_folder(data: Path) -> None:
    dataset = open_dataset(config.load(None, ["dataset=digits", f"data={data}", "augment.flip=true"]))
    assert (dataset.num_train, dataset.image_size, dataset.crop_padding, len(dataset.classes)) == (1297, 32, 4, 10)
    assert dataset.flip  # the option over the manifest's false
    assert np.bincount(dataset.train_labels).tolist() == [4] * 10


def test_validation_images_are_kept_out_of_the_labels(data: Path) -> None:
    """97 of 1,297, in proportion; small splits are apart from them already, labels=all loses them."""
    few, every = (opened(data, "validation=97", f"labels={labels}") for labels in ("4", "all"))
    assert every.validation is not None and every.validation.indices is not None
    held = every.validation.indices
    assert len(held) == 97 and len(every.split) == 1200 and len(few.split) == 40
    assert not np.isin(held, every.split).any() and not np.isin(held, few.split).any()
    assert np.array_equal(every.not_unlabelled(True), held)
    assert len(every.not_unlabelled(False)) == 1297 and len(few.not_unlabelled(False)) == 97 + 40
    assert len(few.not_unlabelled(True, include_validation=True)) == 0
    assert np.array_equal(few.not_unlabelled(False, include_validation=True), few.split)


def test_a_folders_own_validation_images(copy: Path) -> None:
    assert opened(copy).validation is None
    shutil.copy(copy / "digits/test.beton", copy / "digits/validation.beton")
    own = opened(copy).validation
    assert own is not None and own.indices is None and own.beton.name == "validation.beton"
    assert opened(copy, "validation=0").validation is None
    drawn = opened(copy, "validation=97").validation
    assert drawn is not None and drawn.beton.name == "train.beton"


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("validation=96", "no split validation-96-seed0; add it with python dataprep/make_beton.py digits"),
        ("validation=96", "--validation 96 --seeds 0, or choose another validation="),
        ("dataset=cifar10", "make_beton.py cifar10 --out"),
        ("dataset=photos", "make_beton.py folder --name photos --source PATH"),
        ("labels=500", "class of only 126 labelled images"),
        ("labels=7", "--labels-per-class 7 --seeds 0"),
        ("seed=9", "no split 4-seed9"),
        ("labels=20pct", "no split 20pct-seed0"),
    ],
)
def test_what_is_missing(copy: Path, setting: str, message: str) -> None:
    with pytest.raises(ValueError, match=r"^[^\n]*$") as error:
        opened(copy, setting)
    assert message in str(error.value)


def break_manifest(folder: Path, **changes: object) -> None:
    path = folder / "digits/manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_a_beton_of_other_classes(copy: Path) -> None:
    break_manifest(copy, classes=["zero", "one"])
    with pytest.raises(ValueError, match="do not fit the 2 classes"):
        opened(copy)


def test_a_split_of_another_beton(copy: Path) -> None:
    np.save(copy / "digits/splits/4-seed0.npy", np.arange(5000))
    with pytest.raises(ValueError, match=r"does not belong to this train\.beton"):
        opened(copy)


def test_damaged_files(copy: Path) -> None:
    beton = copy / "digits/train.beton"
    whole = beton.read_bytes()
    for content, message in (
        (whole[:-100], "truncated"),
        (whole[: len(whole) // 2], "truncated"),
        (b"", "not a beton"),
    ):
        beton.write_bytes(content)
        with pytest.raises(ValueError, match=message):
            opened(copy)
    beton.unlink()
    with pytest.raises(ValueError, match=r"train.beton: cannot be read .*make_beton.py"):
        opened(copy)
    (copy / "digits/manifest.json").write_text("{")
    with pytest.raises(ValueError, match="damaged"):
        opened(copy)


def test_another_version(copy: Path) -> None:
    beton = copy / "digits/test.beton"
    beton.write_bytes(b"\x09\x00" + beton.read_bytes()[2:])
    with pytest.raises(ValueError, match="not a beton of FFCV version 2"):
        open_beton(beton)


def test_images_of_another_size(copy: Path) -> None:
    """FFCV says so only after the process group exists, or not at all."""
    break_manifest(copy, stored_size=40)
    with pytest.raises(ValueError, match=r"train\.beton: images are not squares of 40 px as in its manifest\.json"):
        opened(copy)


@pytest.mark.parametrize("field", [0, 1])
def test_a_beton_of_other_fields(copy: Path, field: int) -> None:
    """Another name, or the same name with another type."""
    beton = copy / "digits/train.beton"
    content = bytearray(beton.read_bytes())
    start = HeaderType.itemsize + field * FieldDescType.itemsize
    described = np.frombuffer(content, FieldDescType, 1, start)[0]
    assert bytes(described["name"]).startswith((b"image", b"label")[field : field + 1])
    if field == 0:
        described["name"][:5] = np.frombuffer(b"photo", np.uint8)
    else:
        described["type_id"] = 0
    beton.write_bytes(content)
    with pytest.raises(ValueError, match=r"^[^\n]*other fields, or types \((photo|image), label, index\), than"):
        open_beton(beton)
