"""Each shipped config from the native files of its data set to a result.json: a few steps on a tiny fixture."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import nn

from pipeline import config
from pipeline.data.dataset import open_dataset
from pipeline.distributed import Ranks
from pipeline.runs.folder import RunFolder
from pipeline.training import loop
from tests.support.dataprep_fixtures import make
from tests.support.native_fixtures import WNIDS, jpeg, put, put_cifar, put_stl10, put_svhn
from tests.support.ranks import on_ranks
from tests.support.webvision_fixtures import put_webvision

CONFIGS = Path(__file__).parents[1] / "configs"
FEW = "steps=2 warmup_steps=1 batch.labelled=2 batch.ratio=2 log_every=1 mix=calibratemix threads=1 eval_batch=32"
# Networks of gigabytes: in processes of their own, so that the test process stays small.
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("ranks")]


def put_imagenet(root: Path) -> None:
    for part, count in (("train", 10), ("val", 2)):
        for wnid in WNIDS:
            for i in range(count):
                put(root / part / wnid / f"{part}_{i}.JPEG", jpeg(f"{part}{wnid}{i}", (70, 50)))


NATIVE: dict[str, Callable[[Path], Any]] = {
    "cifar10": lambda root: put_cifar(root, 10, 10),
    "cifar100": lambda root: put_cifar(root, 100, 100),
    "svhn": lambda root: put_svhn(root, {"train": 20, "extra": 20, "test": 20}),
    "stl10": lambda root: put_stl10(root, 20, 30),
    "imagenet": put_imagenet,
    "webvision": put_webvision,
}


def run(ranks: Ranks, data: Path, out: Path, name: str, *sets: str) -> bool:
    """True where the network's weights are channels_last."""
    settings = config.load(CONFIGS / f"{name}.yaml", [f"data={data}", f"out={out}", *FEW.split(), *sets])
    model = loop.train(settings, open_dataset(settings), ranks, RunFolder(settings)).model
    convolutions = [m.weight for m in model.modules() if isinstance(m, nn.Conv2d)]
    return all(w.is_contiguous(memory_format=torch.channels_last) for w in convolutions)


def prepare(name: str, folder: Path) -> Path:
    """DATA, holding the data set made from its native files."""
    NATIVE[name](folder / "native")
    assert make(name, "--source", folder / "native", "--out", folder, "--labels-per-class", 1, "--seeds", 0) == 0
    return folder


def check(out: Path, num_test: int) -> dict[str, Any]:
    """A whole run folder with finite numbers; returns its resolved config."""
    result = json.loads((out / "result.json").read_text())
    assert (result["step"], result["num_samples"]) == (2, num_test)
    assert 0 <= result["error"] <= 100 and 0 <= result["ece"] <= 100
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    trained = [line for line in lines if "loss" in line]
    assert [line["loss_mix"] > 0 for line in trained] == [False, True]
    assert all(math.isfinite(line["loss"]) for line in trained)
    return yaml.safe_load((out / "config.yaml").read_text())


@pytest.mark.parametrize(
    ("name", "num_test", "network", "weight_decay"),
    [
        ("cifar10", 10, "wrn-28-2", 5e-4),
        pytest.param("cifar100", 100, "wrn-28-8", 1e-3, marks=pytest.mark.long),
        ("svhn", 20, "wrn-28-2", 5e-4),
        ("stl10", 20, "wrn-37-2", 5e-4),
    ],
)
def test_small_images(name: str, num_test: int, network: str, weight_decay: float, tmp_path: Path) -> None:
    assert on_ranks(1, run, prepare(name, tmp_path), tmp_path / "run", name, "labels=1") == [True]
    resolved = check(tmp_path / "run", num_test)
    assert (resolved["model"]["name"], resolved["optimizer"]["weight_decay"]) == (network, weight_decay)


@pytest.mark.long
@pytest.mark.parametrize(("name", "num_test", "world"), [("webvision", 12, 2), ("imagenet", 8, 1)])
def test_photos(name: str, num_test: int, world: int, tmp_path: Path) -> None:
    """ResNet-50 in bf16 on 224 px windows of a 256 px canvas, 10% labelled, on two ranks or alone."""
    given = prepare(name, tmp_path), tmp_path / "run", name
    assert on_ranks(world, run, *given) == [True] * world
    resolved = check(tmp_path / "run", num_test)
    chosen = resolved["model"]["name"], resolved["labels"], resolved["precision"], resolved["augment"]["strong_crop"]
    assert chosen == ("resnet-50", "10pct", "bf16", "resized")
    assert resolved["optimizer"]["weight_decay"] == 3e-4
