"""--verify: says yes to what was made, and names whatever has changed since, even where the hashes were mended."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from ffcv.reader import Reader
from ffcv.types import ALLOC_TABLE_TYPE, FieldDescType, HeaderType

from dataprep.data_folder import manifest
from dataprep.data_folder.checksums import describe, file_sha256
from tests.support.dataprep_fixtures import make, put_tree, read_manifest, tree_paths


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """31 training images in three classes, five without a label, and 30 to test, raw and as JPEGs."""
    out = tmp_path_factory.mktemp("made")
    source = put_tree(out / "source", [*tree_paths(), *(f"unlabelled/{i}.png" for i in range(5))])
    for name, encoding in (("raw-set", "raw"), ("jpg-set", "jpg")):
        words = ("--name", name, "--encoding", encoding, "--labels-per-class", 4, "--seeds", 0)
        assert make("folder", "--source", source, "--out", out, *words, "--long-tail", 3) == 0
    return out


def verify(out: Path, name: str) -> int:
    return make("folder", "--out", out, "--name", name, "--verify")


@pytest.mark.parametrize("name", ["raw-set", "jpg-set"])
def test_what_was_made_is_fine(made: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(made.rglob("*"))
    assert verify(made, name) == 0
    assert (
        "verified, 36 train (10 to 11 a class, 5 unlabelled), 30 test (10 a class), 5 splits" in capsys.readouterr().out
    )
    assert sorted(made.rglob("*")) == before


def change_byte(file: Path, position: int) -> None:
    data = np.memmap(file, np.uint8, "r+")
    data[position] ^= 0xFF
    data.flush()


def edit_manifest(folder: Path, edit: Callable[[dict], object]) -> None:
    content = read_manifest(folder)
    edit(content)
    manifest.write(folder, content)  # type: ignore[arg-type]


def mend_hashes(folder: Path) -> None:
    """Make the manifest agree with the files: what is left are faults that hashes don't show."""

    def mend(content: dict) -> None:
        for beton in content["betons"]:
            content["betons"][beton] = describe(folder / beton)
        for name, split in content["splits"].items():
            split["sha256"] = file_sha256(folder / f"splits/{name}.npy")

    edit_manifest(folder, mend)


def metadata(folder: Path, beton: str = "train.beton") -> np.memmap:
    """The samples' metadata of a beton, to be written to."""
    reader = Reader(str(folder / beton))
    offset = HeaderType.itemsize + 3 * FieldDescType.itemsize
    return np.memmap(folder / beton, reader.metadata.dtype, "r+", offset, len(reader.metadata))


def allocations(folder: Path) -> np.memmap:
    start = int(Reader(str(folder / "train.beton")).header["alloc_table_ptr"])
    return np.memmap(folder / "train.beton", ALLOC_TABLE_TYPE, "r+", start)


def flip_pixel(folder: Path) -> None:
    change_byte(folder / "train.beton", int(allocations(folder)["ptr"][3]))


def cut(folder: Path) -> None:
    whole = (folder / "test.beton").read_bytes()
    (folder / "test.beton").write_bytes(whole[:-1])


def break_header(folder: Path) -> None:
    change_byte(folder / "test.beton", 0)
    mend_hashes(folder)


def other_splits(folder: Path) -> None:
    np.save(folder / "splits/4-seed0.npy", np.arange(12))
    np.save(folder / "splits/9-seed9.npy", np.arange(9))
    (folder / "splits/10pct-seed0.npy").unlink()


def other_counts(folder: Path) -> None:
    (folder / "rejected.csv").unlink()
    edit_manifest(folder, lambda content: content["counts"].update(test=31))


def unbalanced(folder: Path, split: str = "4-seed0") -> None:
    positions = np.load(folder / f"splits/{split}.npy")
    labels = metadata(folder)["f1"]
    spare = np.setdiff1d(np.flatnonzero(labels == 0), positions)[0]
    kept = np.delete(positions, np.flatnonzero(labels[positions] == 1)[0])
    np.save(folder / f"splits/{split}.npy", np.sort(np.append(kept, spare)))
    mend_hashes(folder)


def unlabelled_in_split(folder: Path) -> None:
    positions = np.load(folder / "splits/all-seed0.npy")
    positions[0] = np.flatnonzero(metadata(folder)["f1"] == -1)[0]
    np.save(folder / "splits/all-seed0.npy", np.sort(positions))
    mend_hashes(folder)


def other_label(folder: Path) -> None:
    metadata(folder)["f1"][0] = 7
    mend_hashes(folder)


def unlabelled_test(folder: Path) -> None:
    """The manifest agrees, as one made before such images were refused would."""
    lost = int(metadata(folder, "test.beton")["f1"][0])
    metadata(folder, "test.beton")["f1"][0] = -1
    mend_hashes(folder)
    edit_manifest(folder, lambda content: content["counts"]["test_per_class"].__setitem__(lost, 9))


def other_pointer(folder: Path) -> None:
    metadata(folder)["f0"]["data_ptr"][0] += 8
    mend_hashes(folder)


def overlap(folder: Path) -> None:
    allocations(folder)["size"][0] += 8
    mend_hashes(folder)


def other_pixels(folder: Path) -> None:
    start = int(allocations(folder)["ptr"][0])
    np.memmap(folder / "train.beton", np.uint8, "r+", start, (12 * 12 * 3,))[:] = 0
    mend_hashes(folder)


def broken_jpeg(folder: Path) -> None:
    row = allocations(folder)[5]
    change_byte(folder / "train.beton", int(row["ptr"] + row["size"]) - 1)
    mend_hashes(folder)


@pytest.mark.parametrize(
    ("name", "damage", "words"),
    [
        ("raw-set", flip_pixel, ["train.beton: sha256 differs"]),
        ("raw-set", cut, ["test.beton: ", " bytes, not 16"]),
        ("raw-set", break_header, ["test.beton: FFCV cannot read it"]),
        ("raw-set", lambda folder: (folder / "train.beton").unlink(), ["train.beton: missing"]),
        ("raw-set", other_splits, ["10pct-seed0.npy: missing", "4-seed0.npy: sha256 differs", "9-seed9.npy is not"]),
        ("raw-set", unbalanced, ["4-seed0.npy: does not have exactly 4 images of every class"]),
        (
            "raw-set",
            lambda folder: unbalanced(folder, "lt3-seed0"),
            ["lt3-seed0.npy: does not have the images of every"],
        ),
        ("raw-set", unlabelled_in_split, ["all-seed0.npy: contains unlabelled images"]),
        ("raw-set", other_label, ["train.beton: labels outside the classes"]),
        ("raw-set", unlabelled_test, ["test.beton: labels outside the classes"]),
        ("raw-set", other_pointer, ["train.beton: image pointers"]),
        ("raw-set", overlap, ["train.beton: images overlap"]),
        ("raw-set", other_pixels, ["train.beton: its mean is"]),
        ("raw-set", other_counts, ["test.beton: 30 samples, not 31", "rejected.csv: No such file"]),
        ("jpg-set", broken_jpeg, ["train.beton: 1 images are not complete JPEGs, the first has index [5]"]),
    ],
)
def test_what_has_changed_is_named(
    made: Path,
    tmp_path: Path,
    name: str,
    damage: Callable[[Path], object],
    words: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    shutil.copytree(made / name, tmp_path / name)
    damage(tmp_path / name)
    assert verify(tmp_path, name) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and all(word in error for word in words) and str(tmp_path / name) in error


def test_the_same_command_restores_a_lost_split(made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(made / "raw-set", tmp_path / "raw-set")
    (tmp_path / "raw-set/splits/4-seed0.npy").unlink()
    np.save(tmp_path / "raw-set/splits/mine.npy", np.arange(3))
    assert verify(tmp_path, "raw-set") == 2
    error = capsys.readouterr().err
    assert "draws missing splits again" in error and "--split NAME=FILE" in error and "make it again" not in error
    (tmp_path / "raw-set/splits/mine.npy").unlink()
    words = ("--encoding", "raw", "--labels-per-class", 4, "--seeds", 0)
    assert make("folder", "--source", made / "source", "--out", tmp_path, "--name", "raw-set", *words) == 0
    assert verify(tmp_path, "raw-set") == 0


def test_folders_with_splits_of_the_old_name_verify(made: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(made / "raw-set", tmp_path / "raw-set")
    splits = folder / "splits"
    (splits / "10pct-stratified-seed0.npy").rename(splits / "10pct-balanced-seed0.npy")

    def rename(content: dict) -> None:
        content["splits"]["10pct-balanced-seed0"] = content["splits"].pop("10pct-stratified-seed0")

    edit_manifest(folder, rename)
    assert verify(tmp_path, "raw-set") == 0


def test_nothing_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert verify(tmp_path, "nothing") == 2
    assert "nothing does not exist" in capsys.readouterr().err
