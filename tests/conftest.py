"""Shared by all tests: the digits as a real data folder, Hypothesis' profile, and who runs what.

A test of more than some four processor seconds is marked ``slow``; `make check` leaves it out. A dozen of more than
eight are ``long`` too, and left to CI: what they put together, shorter tests look at in parts. Under pytest-xdist the
tests of a file stay together, and so do those of a group: ``xdist_group("ranks")`` for tests that call ``on_ranks``,
whose processes all of them share, ``xdist_group("launches")`` for those that start torchrun and wait for it,
``xdist_group("cluster")`` for those that fill the machine with jobs, and ``xdist_group("pretence")`` for those of the
process that believes in a GPU. All start processes that import torch, so they are slow without the mark.
"""

import fcntl
import gc
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

from tests.support import one_compilation, printed
from tests.support.team import forget
from tests.support.usage import Usage

# Tests compare last bits and start more ranks than there may be GPUs. Before anything imports torch.
os.environ["CUDA_VISIBLE_DEVICES"] = ""

# These are long, so they start first, each on a process of its own.
GROUPS = ("ranks", "launches", "cluster", "pretence")

# A shell gives its background jobs an ignored SIGINT, and then Ctrl-C cannot be tested.
signal.signal(signal.SIGINT, signal.default_int_handler)

# No deadline: other processes may use the machine. A test that needs more examples says so with @settings.
settings.register_profile("tests", deadline=None, max_examples=100, derandomize=bool(os.environ.get("CI")))
settings.load_profile("tests")


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Usage())
    config.pluginmanager.register(printed)


@pytest.hookimpl(tryfirst=True)  # before -m selects
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes long begins first, so that no process ends long after the others."""
    for item in items:
        if _group(item) < len(GROUPS):  # they start processes that import torch
            item.add_marker("slow")
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: (_group(item), item.path not in slow))


def _group(item: pytest.Item) -> int:
    mark = item.get_closest_marker("xdist_group")
    return GROUPS.index(mark.args[0]) if mark else len(GROUPS)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """As --dist=loadgroup, and tests without a group are one with their file: fixtures of a module are made once."""
    from xdist.scheduler.loadgroup import LoadGroupScheduling

    class GroupsAndFiles(LoadGroupScheduling):
        def _split_scope(self, nodeid: str) -> str:
            scope: str = super()._split_scope(nodeid)
            return scope.partition("::")[0]

    config.option.loadscopereorder = False  # ours is the order of pytest_collection_modifyitems
    return GroupsAndFiles(config, log)


def pytest_collection_finish() -> None:
    """What is imported now stays: collections need not look at it again."""
    gc.collect()
    gc.freeze()


def pytest_sessionfinish() -> None:
    gc.unfreeze()


@pytest.fixture(autouse=True)
def ffcv_compiles_once() -> None:
    one_compilation.install()


@pytest.fixture(autouse=True)
def handlers_of_signals_stay() -> Iterator[None]:
    """A job that runs in this process (`--cluster debug`) takes Ctrl-C for itself; the next test may send one."""
    numbers = signal.SIGINT, signal.SIGTERM, signal.SIGUSR2, signal.SIGCONT
    before = {number: signal.getsignal(number) for number in numbers}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(autouse=True, scope="module")
def modules_leave_no_memory() -> Iterator[None]:
    yield
    forget()


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """DATA, holding digits/ of 16 px: what a training is asked is the same, and its convolutions cost a quarter."""
    return _digits(tmp_path_factory, "data", "--image-size", "16")


@pytest.fixture(scope="session")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """DATA, holding digits/ as make_beton.py makes them by default, of 32 px."""
    return _digits(tmp_path_factory, "shipped")


def _digits(tmp_path_factory: pytest.TempPathFactory, name: str, *options: str) -> Path:
    """Made, and the kernels compiled, by one of the processes of a session for all of them."""
    from dataprep import make_beton

    worker = os.environ.get("PYTEST_XDIST_WORKER")
    folder = (tmp_path_factory.getbasetemp().parent if worker else tmp_path_factory.mktemp("session")) / name
    with (folder.parent / "digits.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "digits").exists():
            words = ["digits", "--out", str(folder), "--workers", "1", "--validation", "97", *options]
            assert make_beton.main(words) == 0
            compile_kernels()
    return folder


def compile_kernels() -> None:
    """Twenty seconds after a change of theirs, else nothing: numba keeps them on disk."""
    from pipeline.augment import kernels

    images, place, how = np.zeros((1, 32, 32, 3), np.uint8), np.zeros(1, np.int64), kernels.Augmentation(4, False)
    kernels.weak_views(images, place, place, 0, 0, how, images.copy())
    kernels.weak_and_strong_views(images, place, place, 0, 0, how, images.copy(), images.copy())
