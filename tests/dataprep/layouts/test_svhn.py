"""SVHN from its .mat files."""

from pathlib import Path

import pytest

from tests.support.dataprep_fixtures import make, read_manifest
from tests.support.made_folders import check_raw_folder
from tests.support.native_fixtures import put_svhn


def test_svhn_merges_extra(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written = put_svhn(tmp_path / "raw/svhn", {"train": 50, "extra": 70, "test": 30})
    assert make("svhn", "--out", tmp_path) == 0
    assert "extra images: 70, 531,061 fewer" in capsys.readouterr().out
    check_raw_folder(tmp_path / "svhn", 32, written["train"] + written["extra"], written["test"])
    assert read_manifest(tmp_path / "svhn")["classes"] == list("0123456789")
    assert make("svhn", "--out", tmp_path, "--no-extra") == 2  # these are other images
    (tmp_path / "raw/svhn/extra_32x32.mat").unlink()
    assert make("svhn", "--out", tmp_path / "small", "--source", tmp_path / "raw/svhn", "--no-extra", "--no-flip") == 0
    content = read_manifest(tmp_path / "small/svhn")
    assert (content["counts"]["train"], content["flip"]) == (50, False)
