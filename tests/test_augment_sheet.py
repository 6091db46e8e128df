"""The contact sheet shows the pixels of training."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline import augment_sheet, config
from pipeline.data.batches import TrainImages
from pipeline.data.dataset import open_dataset
from pipeline.data.streams import Order, VirtualShards


def test_cells_are_the_views_of_training(data: Path) -> None:
    settings = config.load(None, ["dataset=digits", f"data={data}", "seed=2", "augment.flip=true"])
    dataset = open_dataset(settings)
    order = Order(dataset.split, VirtualShards.of(dataset.num_train, 8, 24), (8, 24), True, False, 2, 0, 1)
    batch = next(TrainImages(dataset, order, (8, 24), 0, 1, 2, settings.augment, 1).batches(70, 71))
    visit = int(batch.unlabelled_visit[0])
    assert visit == 1
    cells = augment_sheet.cells(settings, dataset, batch.unlabelled_index, visits=2)
    assert cells.shape == (24, 5, 32, 32, 3)
    same = batch.unlabelled_visit == visit
    for column, views in ((1 + visit, batch.views.weak), (3 + visit, batch.views.strong)):
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
