"""CIFAR from its pickles, as they lie or in the archive they come in."""

import tarfile
from pathlib import Path

import pytest

from tests.support.dataprep_fixtures import fingerprint, make, read_manifest
from tests.support.made_folders import check_raw, check_raw_folder, evaluated, loaded, opened, split_kinds
from tests.support.native_fixtures import put_cifar


def test_cifar10(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written = put_cifar(tmp_path / "raw/cifar10", 10, 60)
    assert make("cifar10", "--out", tmp_path) == 0
    said = capsys.readouterr().out
    assert "not the official files" in said and "train images: 300, 49,700 fewer than the official 50,000" in said
    folder = tmp_path / "cifar10"
    check_raw_folder(folder, 32, written["train"], written["test"])
    check_raw(*loaded(folder / "train.beton"), written["train"])
    check_raw(*evaluated(folder), written["test"])
    assert read_manifest(folder)["classes"] == [f"class {c}" for c in range(10)]
    assert split_kinds(folder) == {"4", "25", "10pct", "10pct-stratified", "lt10", "all"}
    assert "no splits lt100: class 'class 0' has only 30 images" in said
    assert len(opened(folder, "25").split) == 250


def test_cifar100_uses_fine_labels(tmp_path: Path) -> None:
    written = put_cifar(tmp_path / "raw/cifar100", 100, 400)
    assert make("cifar100", "--out", tmp_path) == 0
    check_raw_folder(tmp_path / "cifar100", 32, written["train"], written["test"])
    assert split_kinds(tmp_path / "cifar100") == {"4", "10pct", "10pct-stratified", "all"}


@pytest.fixture(scope="module")
def distributed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """raw/cifar10 with the files in their folder, archive/ with the tar.gz, and what the former gives: cifar10."""
    root = tmp_path_factory.mktemp("distributed")
    put_cifar(root / "raw/cifar10", 10, 20)
    (root / "archive").mkdir()
    with tarfile.open(root / "archive/cifar-10-python.tar.gz", "w:gz") as tar:
        tar.add(root / "raw/cifar10/cifar-10-batches-py", "cifar-10-batches-py")
    assert make("cifar10", "--out", root) == 0
    return root


@pytest.mark.parametrize("source", ["archive", "archive/cifar-10-python.tar.gz", "raw/cifar10/cifar-10-batches-py"])
def test_the_distributed_archive_gives_the_same(distributed: Path, tmp_path: Path, source: str) -> None:
    assert make("cifar10", "--out", tmp_path, "--source", distributed / source) == 0
    assert fingerprint(tmp_path / "cifar10") == fingerprint(distributed / "cifar10")
