"""Reading images, without a network."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def data(shipped: Path) -> Path:
    """Nothing is trained here: the digits as a user has them."""
    return shipped
