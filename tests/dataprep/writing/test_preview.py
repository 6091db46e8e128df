"""preview.png: a few stored images of each class over its name."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dataprep.writing.preview import MAX_CLASSES, Grid, draw_preview
from tests.support.dataprep_fixtures import make, pixels, put_tree, read_raw, tree_paths


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("made")
    source = put_tree(out / "source", [*tree_paths(), *(f"unlabelled/{i}.png" for i in range(3))])
    assert make("folder", "--source", source, "--out", out) == 0
    return out / "folder"


def test_it_shows_the_stored_images_of_each_class_in_order(made: Path) -> None:
    images, labels = read_raw(made / "train.beton")
    with Image.open(made / "preview.png") as opened:
        shown = np.asarray(opened.convert("RGB"))
    grid = Grid.of(4, 11)
    for row, label in enumerate([0, 1, 2, -1]):
        expected = images[labels == label][: grid.per_class]
        for column, image in enumerate(expected):
            x, y = grid.tile(row, column)
            tile = Image.fromarray(shown[y : y + grid.side, x : x + grid.side])
            assert (np.asarray(tile.resize((12, 12), Image.Resampling.NEAREST)) == image).all()
    x, y = grid.tile(3, 3)
    assert (shown[y : y + grid.side, x : x + grid.side] == 255).all(), "three unlabelled images"


def test_names_are_written_under_the_images(made: Path) -> None:
    drawn = [
        np.asarray(draw_preview(made / "train.beton", [name, "b", "c"], "set"))
        for name in ("a", "W" * 400, "東京 Ärger \udce9", "a")
    ]
    assert (drawn[0] == drawn[3]).all()
    grid = Grid.of(4, 11)
    top = grid.tile(0, 0)[1] + grid.side
    for other in drawn[1:3]:
        rows = np.flatnonzero((drawn[0] != other).any((1, 2)))
        assert len(rows) and top <= rows.min() and rows.max() < grid.tile(1, 0)[1]


def test_photos_many_classes_and_none_wanted(tmp_path: Path) -> None:
    for c in range(MAX_CLASSES + 7):
        for i in range(2):
            file = tmp_path / f"source/class{c:03d}/{i}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels(f"{c}{i}", (30, 20))).save(file)
    words = ("folder", "--source", tmp_path / "source", "--out", tmp_path, "--stored-size", 32, "--encoding", "jpg")
    assert make(*words, "--name", "with") == 0 and make(*words, "--name", "without", "--no-preview") == 0
    with Image.open(tmp_path / "with/preview.png") as image:
        assert image.width < 1300 and image.height < 2600
    assert not (tmp_path / "without/preview.png").exists()
    assert make("folder", "--out", tmp_path, "--name", "with", "--verify") == 0
