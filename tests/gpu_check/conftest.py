"""One process that believes in a GPU, for all tests of what a step does there."""

from collections.abc import Iterator
from concurrent.futures import Executor

import pytest
from gpu_check.fake_runs import pretending


@pytest.fixture(scope="session")
def pool() -> Iterator[Executor]:
    with pretending() as processes:
        yield processes
