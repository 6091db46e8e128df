"""The catalog of data sets, and the example of docs/data.md that adds one."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dataprep.layouts.catalog import DATASETS, DataSet
from dataprep.layouts.digits import list_digits
from dataprep.layouts.listing import Listing, ListingRequest
from tests.support.dataprep_fixtures import make, nothing_left, put_image, read_manifest
from tests.support.made_folders import check_raw_folder
from tests.support.native_fixtures import Labelled

PAGE = (Path(__file__).parents[3] / "docs/data.md").read_text()


def test_the_page_names_every_data_set() -> None:
    table = PAGE[PAGE.index("| NAME |") : PAGE.index("**CIFAR")]
    assert re.findall(r"`(\w+)`", table) == list(DATASETS)


def test_the_example_adds_a_data_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layout, line = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    names: dict[str, Any] = {"DataSet": DataSet}
    exec(layout, names)
    for name, data_set in eval(f"{{{line}}}", names).items():
        monkeypatch.setitem(DATASETS, name, data_set)
    classes = ["daisy", "rose", "tulip"]
    images = [(f"{kind}{i}", kind, "test" if i > 7 else "train") for kind in classes for i in range(10)]
    written: dict[str, Labelled] = {"train": [], "test": []}
    for name, kind, subset in images:
        file = put_image(tmp_path / "source", f"jpg/{name}.jpg", (40, 40))
        written[subset].append((np.asarray(Image.open(file)), classes.index(kind)))
    (tmp_path / "source/labels.txt").write_text("".join(f"{' '.join(words)}\n" for words in images))
    assert make("flowers", "--source", tmp_path / "source", "--out", tmp_path) == 0
    check_raw_folder(tmp_path / "flowers", 40, written["train"], written["test"])
    content = read_manifest(tmp_path / "flowers")
    assert content["classes"] == classes and "4-seed0" in content["splits"]


def test_a_test_image_without_a_label_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def list_unlabelled(request: ListingRequest) -> Listing:
        listing = list_digits(request)
        return replace(listing, test=[listing.test[0]._replace(label=-1), *listing.test[1:]])

    monkeypatch.setitem(DATASETS, "digits", replace(DATASETS["digits"], list=list_unlabelled))
    assert make("digits", "--out", tmp_path) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "1 test image without a label, for example " in error
    assert nothing_left(tmp_path, "digits")
