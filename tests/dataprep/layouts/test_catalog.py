"""The catalog of data sets, and the example of docs/data.md that adds one."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dataprep.layouts.catalog import DATASETS, DataSet
from tests.support.dataprep_fixtures import make, put_image, read_manifest
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
