"""The contact sheet shows the pixels of training."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline import augment_sheet, config
from pipeline.data.batches import TrainImages, augmentation, part_sources
from pipeline.data.dataset import open_dataset
from pipeline.data.streams import VirtualShards


def test_cells_are_the_views_of_training(data: Path) -> None:
    settings = config.load(
        None, ["dataset=digits", f"data={data}", "seed=2", "augment.flip=true", "batch.labelled=8", "batch.ratio=3"]
    )
    dataset = open_dataset(settings)
    sources = part_sources(settings, dataset, VirtualShards.of(dataset.num_train, 8, 24))
    stream = TrainImages(sources, 16, augmentation(dataset, settings.augment), 2, 1)
    part = next(stream.batches(70, 71)).parts["unlabelled"]
    visit = int(part.visit[0])
    assert visit == 1
    cells = augment_sheet.cells(settings, dataset, part.index, visits=2)
    assert cells.shape == (24, 5, 16, 16, 3)
    same = part.visit == visit
    for column, views in ((1 + visit, part.weak), (3 + visit, part.strong)):
        np.testing.assert_array_equal(cells[same, column], views.permute(0, 2, 3, 1).numpy()[same])


def test_the_picture(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "sheet.png"
    given = ["--set", "dataset=digits", f"data={data}", "--sheet", str(out), "--images", "3", "--visits", "2"]
    assert augment_sheet.main(given) == 0
    assert "3 images" in capsys.readouterr().out
    picture = np.asarray(Image.open(out))
    assert picture.shape == (16 + 3 * 100 + 4, 5 * 100 + 4, 3)
    cell = picture[20:116, 4:100]  # each pixel three times as large
    np.testing.assert_array_equal(cell[::3, ::3].repeat(3, axis=0).repeat(3, axis=1), cell)
    assert cell.std() > 10


def test_mistakes_are_one_line(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    digits = ["--set", "dataset=digits", f"data={data}", "--sheet"]
    for given, message in (
        (["--set", "dataset=nothing"], "no such data set"),
        ([*digits, str(tmp_path / "no/sheet.png")], "No such file"),
        ([*digits, str(tmp_path / "sheet.xyz")], "unknown file extension"),
    ):
        assert augment_sheet.main(given) == 2
        said = capsys.readouterr().err
        assert message in said and said.count("\n") == 1
    with pytest.raises(SystemExit):
        augment_sheet.main(["--images", "0"])
