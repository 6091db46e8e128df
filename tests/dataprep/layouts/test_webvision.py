"""WebVision: what its lists name, from folders and from tars."""

import csv
from pathlib import Path

import pytest

from tests.support.dataprep_fixtures import fingerprint, make, nothing_left, read_manifest
from tests.support.made_folders import check_photos, opened
from tests.support.native_fixtures import jpeg, put, tar_of
from tests.support.webvision_fixtures import SYNSETS, VAL, put_lists, put_webvision, training

Output = pytest.CaptureFixture[str]


def put_tars(root: Path) -> Path:
    """google.tar wrapped in a folder, flickr split over two, val as it is distributed; some of it unpacked."""
    put_lists(root)
    flickr = list(training("flickr"))
    tar_of(root / "google.tar", {f"./resized/{path}": jpeg(path.rpartition("/")[2]) for path in training("google")})
    tar_of(root / "flickr_0.tar", {path: jpeg(path.rpartition("/")[2]) for path in reversed(flickr[:9])})
    (root / "more").mkdir()
    tar_of(root / "more/flickr_1.tar", {path: jpeg(path.rpartition("/")[2]) for path in flickr[9:-1]})
    put(root / flickr[-1], jpeg(flickr[-1].rpartition("/")[2]))
    tar_of(root / "val_images_256.tar", {f"val_images_256/{name}": jpeg(name) for name in VAL})
    tar_of(root / "unrelated.tar", {"readme.txt": b"nothing"})
    return root


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("data")
    assert make("webvision", "--source", put_webvision(out / "source"), "--out", out) == 0
    return out / "webvision"


def expected(labels: dict[str, int]) -> list[tuple[bytes, int]]:
    return [(jpeg(path.rpartition("/")[2]), label) for path, label in labels.items()]


def test_images_and_labels(made: Path) -> None:
    content = read_manifest(made)
    assert content["classes"] == SYNSETS
    assert content["counts"]["train_per_class"] == [10] * 4 and content["counts"]["test_per_class"] == [3] * 4
    assert (content["image_size"], content["stored_size"]) == (224, 256)
    check_photos(made / "train.beton", expected(training("google") | training("flickr")))
    check_photos(made / "test.beton", expected(VAL))
    assert len(opened(made, "10pct").split) == 4


def test_tars_give_the_same(made: Path, tmp_path: Path, capsys: Output) -> None:
    assert make("webvision", "--source", put_tars(tmp_path / "source"), "--out", tmp_path) == 0
    assert fingerprint(tmp_path / "webvision") == fingerprint(made)
    said = capsys.readouterr().out
    assert "google: 20 images listed" in said and "flickr: 20 images listed" in said
    assert "training images: 40, 2,439,534 fewer than the official 2,439,574" in said


def test_fewer_classes_mean_google_alone(made: Path, tmp_path: Path, capsys: Output) -> None:
    source = made.parent / "source"
    assert make("webvision", "--source", source, "--out", made.parent, "--classes", 2) == 2
    assert "it holds different images" in capsys.readouterr().err
    assert make("webvision", "--source", source, "--out", tmp_path, "--classes", 2) == 0
    said = capsys.readouterr().out
    assert "only google images" in said and "flickr" not in said
    content = read_manifest(tmp_path / "webvision")
    assert content["classes"] == SYNSETS[:2]
    assert (content["counts"]["train"], content["counts"]["test"]) == (10, 6)
    assert make("webvision", "--source", source, "--out", tmp_path / "more", "--classes", 5) == 2
    assert "--classes 5: info/synsets.txt has only 4 classes" in capsys.readouterr().err


def test_missing_images_are_rejects(tmp_path: Path, capsys: Output) -> None:
    gone = ["flickr/q0001/flickr_03.jpg", "flickr/q0007/flickr_31.jpg", "val_images_256/val000003.jpg"]
    source = put_webvision(tmp_path / "source", *gone)
    assert make("webvision", "--source", source, "--out", tmp_path) == 2
    assert "more than --max-rejected 0.001 allows" in capsys.readouterr().err
    assert not (tmp_path / "webvision").exists()
    assert make("webvision", "--source", source, "--out", tmp_path, "--max-rejected", 0.2) == 0
    said = capsys.readouterr().out
    assert "flickr: 2 of 20 listed images are missing, for example flickr/q0001/flickr_03.jpg" in said
    assert "val: 1 of 12 listed images are missing, for example val/val000003.jpg" in said
    with (tmp_path / "webvision/rejected.csv").open() as file:
        rows = {row["path"]: row["reason"] for row in csv.DictReader(file)}
    assert set(rows) == {*gone[:2], "val/val000003.jpg"} and all("listed" in reason for reason in rows.values())
    counts = read_manifest(tmp_path / "webvision")["counts"]
    assert (counts["train"], counts["test"], counts["rejected"]) == (38, 11, 3)


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("synsets.txt", None, "synsets.txt is missing"),
        ("val_filelist.txt", "val000000.jpg 0\nval000001.jpg 4\n", "val_filelist.txt, line 2"),
        ("train_filelist_google.txt", "google/q0001/a.jpg\n", "train_filelist_google.txt, line 1"),
        ("val_filelist.txt", "other000001.jpg 1\n", "none of the 1 listed val images was found"),
    ],
)
def test_bad_lists(tmp_path: Path, capsys: Output, file: str, text: str | None, message: str) -> None:
    source = put_webvision(tmp_path / "source")
    if text is None:
        (source / "info" / file).unlink()
    else:
        (source / "info" / file).write_text(text)
    assert make("webvision", "--source", source, "--out", tmp_path) == 2
    said = capsys.readouterr().err
    assert message in said and said.count("\n") == 1 and nothing_left(tmp_path, "webvision")
