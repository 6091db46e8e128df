"""files.csv.gz: every stored image can be traced to its file in the source."""

import csv
import gzip
import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dataprep.data_folder import manifest
from dataprep.data_folder.checksums import describe
from dataprep.data_folder.file_list import read_files
from pipeline.data.source_files import source_files
from tests.support.dataprep_fixtures import make, pixels, put_tree, read_manifest, read_raw, tree_paths


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Parts of eight images, a broken one in the middle, unlabelled ones, and names with commas and foreign bytes."""
    out = tmp_path_factory.mktemp("made")
    source = put_tree(out / "source", [*tree_paths(), *(f"unlabelled/{i}.png" for i in range(5)), "train/ant/a, b.png"])
    (source / "train/cow/broken.png").write_bytes(b"not an image")
    Image.fromarray(pixels("odd name")).save(os.fsencode(source) + b"/test/cow/caf\xe9.png", "PNG")
    assert make("folder", "--source", source, "--out", out, "--max-rejected", 0.1) == 0
    return out / "folder"


def test_each_image_has_the_name_of_its_file(made: Path) -> None:
    with gzip.open(made / "files.csv.gz", "rt", encoding="utf-8", errors="surrogateescape", newline="") as file:
        header, *rows = list(csv.reader(file))
    assert header == ["position", "part", "file", "class"]
    classes = read_manifest(made)["classes"]
    for part in ("train", "test"):
        images, labels = read_raw(made / f"{part}.beton")
        mine = [row for row in rows if row[1] == part]
        assert [int(row[0]) for row in mine] == list(range(len(images)))
        for (_, _, name, of), image, label in zip(mine, images, labels, strict=True):
            assert of == (classes[label] if label >= 0 else "")
            with Image.open(os.fsencode(made.parent / "source") + b"/" + os.fsencode(name)) as opened:
                assert (np.asarray(opened) == image).all()
    assert "train/cow/broken.png" not in {row[2] for row in rows}
    assert read_files(made, "train") == source_files(made, "train") == [row[2] for row in rows if row[1] == "train"]


def test_the_list_is_hashed_and_does_not_depend_on_the_clock(made: Path, tmp_path: Path) -> None:
    words = ("--source", made.parent / "source", "--out", tmp_path, "--max-rejected", 0.1)
    assert make("folder", *words) == 0
    assert (tmp_path / "folder/files.csv.gz").read_bytes() == (made / "files.csv.gz").read_bytes()
    assert read_manifest(made)["file_list"] == describe(made / "files.csv.gz")


@pytest.mark.parametrize("change", ["hash", "position", "class", "missing"])
def test_a_changed_list_does_not_verify(
    change: str, made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "folder"
    copy.mkdir()
    for file in made.iterdir():
        (copy / file.name).symlink_to(file)
    list_file = copy / "files.csv.gz"
    list_file.unlink()
    if change != "missing":
        text = gzip.decompress((made / "files.csv.gz").read_bytes()).decode("utf-8", "surrogateescape")
        rows = list(csv.reader(io.StringIO(text)))
        rows[3][{"hash": 2, "position": 0, "class": 3}[change]] = "7"
        out = io.StringIO()
        csv.writer(out).writerows(rows)
        list_file.write_bytes(gzip.compress(out.getvalue().encode("utf-8", "surrogateescape")))
    if change in ("position", "class"):
        content = {**read_manifest(made), "file_list": describe(list_file)}
        (copy / "manifest.json").unlink()
        manifest.write(copy, content)  # type: ignore[arg-type]
    assert make("folder", "--out", tmp_path, "--verify") == 2
    assert "files.csv.gz: " in capsys.readouterr().err


def test_folders_made_before_have_none(made: Path, tmp_path: Path) -> None:
    copy = tmp_path / "folder"
    copy.mkdir()
    for file in made.iterdir():
        if file.name not in ("files.csv.gz", "manifest.json"):
            (copy / file.name).symlink_to(file)
    content = read_manifest(made)
    del content["file_list"]
    manifest.write(copy, content)  # type: ignore[arg-type]
    assert make("folder", "--out", tmp_path, "--verify") == 0
    assert source_files(copy, "test") == []
