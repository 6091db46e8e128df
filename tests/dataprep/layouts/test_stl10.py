"""STL-10 from its binary files."""

from pathlib import Path

from tests.support.dataprep_fixtures import make
from tests.support.made_folders import check_raw, check_raw_folder, loaded, opened, split_kinds
from tests.support.native_fixtures import put_stl10


def test_stl10_keeps_unlabelled_images(tmp_path: Path) -> None:
    written = put_stl10(tmp_path / "raw/stl10", 50, 30)
    assert make("stl10", "--out", tmp_path) == 0
    train = written["train"] + written["unlabeled"]
    check_raw_folder(tmp_path / "stl10", 96, train, written["test"])
    check_raw(*loaded(tmp_path / "stl10/train.beton"), train)
    assert split_kinds(tmp_path / "stl10") == {"4", "10pct", "10pct-stratified", "all"}
    seen = opened(tmp_path / "stl10")
    assert len(seen.split) == 50 and (seen.train_labels >= 0).all()
