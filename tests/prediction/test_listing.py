"""What a command line names becomes one list of images, in a fixed order."""

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.prediction.listing import list_images


def image(path: Path, value: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((4, 4, 3), value, np.uint8)).save(path)
    return path


@pytest.fixture
def given(tmp_path: Path) -> list[Path]:
    """A file that is named itself, a folder with what does not belong, a plain and a compressed tar."""
    single = image(tmp_path / "one.gif")
    for number, name in enumerate(("b/2.png", "b/1.jpg", "a.PNG")):
        image(tmp_path / "photos" / name, number)
    (tmp_path / "photos/notes.txt").write_text("no image")
    image(tmp_path / "photos/.hidden/3.png")
    for name, mode in (("plain.tar", "w"), ("packed.tar.gz", "w:gz")):
        with tarfile.open(tmp_path / name, mode) as tar:
            tar.add(tmp_path / "photos", "inner")
    return [single, *(tmp_path / name for name in ("photos", "plain.tar", "packed.tar.gz"))]


def test_all_kinds_in_order(given: list[Path], tmp_path: Path) -> None:
    listed = list_images(given, tmp_path / "work")
    single, folder, *tars = map(str, given)
    inside = ("a.PNG", "b/1.jpg", "b/2.png")
    assert list(listed.names()) == [
        single, *(f"{folder}/{name}" for name in inside), *(f"{tar}/inner/{name}" for tar in tars for name in inside),
    ]  # fmt: skip
    assert list(listed.names(8)) == list(listed.names())[8:]
    assert len(listed.notes) == 3 and all("1 file that is not an image (1 .txt)" in note for note in listed.notes)
    contents = [listed.reader.read(entry) for entry in listed.entries]
    values = [np.asarray(Image.open(io.BytesIO(c)).convert("RGB"))[0, 0, 0] for c in contents if isinstance(c, bytes)]
    assert np.allclose(values, [0, 2, 1, 0, 2, 1, 0, 2, 1, 0], atol=1)


def test_a_change_is_noticed(given: list[Path], tmp_path: Path) -> None:
    before = list_images(given[:2], tmp_path / "w1").digest()
    assert list_images(given[:2], tmp_path / "w2").digest() == before
    image(tmp_path / "photos/new.png")
    assert list_images(given[:2], tmp_path / "w3").digest() != before


def test_mistakes_are_one_line(given: list[Path], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.tar").write_text("no tar" * 200)
    for name, message in (
        ("gone", "no such file or folder"),
        ("empty", "holds no image"),
        ("text.tar", "neither a zip nor a tar"),
    ):
        with pytest.raises(ValueError, match=rf"^[^\n]*{name}: {message}[^\n]*$"):
            list_images([*given, tmp_path / name], tmp_path / f"work-{name}")
