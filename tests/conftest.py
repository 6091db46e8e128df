"""Shared data: the embedded digits as a real data folder, made once."""

import signal
from pathlib import Path

import pytest

from dataprep import make_beton

# A shell gives its background jobs an ignored SIGINT, and then Ctrl-C cannot be tested.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """DATA, holding digits/."""
    folder = tmp_path_factory.mktemp("data")
    assert make_beton.main(["digits", "--out", str(folder), "--workers", "1"]) == 0
    return folder
