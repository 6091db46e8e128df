"""A small tree to interrupt runs over, and what an undisturbed run makes of it."""

from pathlib import Path

import pytest

from dataprep.layouts.catalog import DATASETS
from dataprep.writing import parts
from tests.support.dataprep_fixtures import fingerprint, make, put_tree
from tests.support.encoding_runs import COUNT, EncodingRun, count_decodes


@pytest.fixture(scope="session")
def data(shipped: Path) -> Path:
    """Nothing is trained here: the digits as a user has them."""
    return shipped


@pytest.fixture(scope="session")
def interrupted_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    paths = [f"class{c}/{i}.png" for c in range(4) for i in range(COUNT // 4)]
    return put_tree(tmp_path_factory.mktemp("interrupted") / "tree", paths)


@pytest.fixture(scope="session")
def undisturbed(interrupted_tree: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple:
    """The fingerprint of the data folder."""
    out = tmp_path_factory.mktemp("undisturbed")
    run = EncodingRun(interrupted_tree, out, out / "unused.log")
    assert make(*run.words()) == 0
    return fingerprint(out / "folder")


@pytest.fixture
def run(interrupted_tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EncodingRun:
    """A run whose decodes are counted, in this process and in those that it starts."""
    monkeypatch.setitem(DATASETS, "folder", DATASETS["folder"])
    monkeypatch.setattr(parts, "MIN_IMAGES", parts.MIN_IMAGES)
    run = EncodingRun(interrupted_tree, tmp_path / "data", tmp_path / "decodes.log")
    count_decodes(run.log)
    return run
