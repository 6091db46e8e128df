"""Any number of ranks, any restart and a kill give the same images, and what exists is not computed again."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import pytest
import torch

from dataprep.generated import shards
from pipeline.generator.groups import Generation
from pipeline.training.failures import RunError
from tests.support.generators import groups_on, images, options, weights
from tests.support.launch import ROOT
from tests.support.ranks import alone, on_ranks


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return weights(tmp_path_factory.mktemp("weights") / "tiny.pt")


@pytest.fixture(scope="module")
def whole(file: Path, data: Path) -> torch.Tensor:
    """90 groups in 3 shards, made by one rank in one go."""
    torch.set_num_threads(1)
    alone(groups_on, options(data, file, file.parent / "whole"))
    return images(file.parent / "whole")


@pytest.mark.xdist_group("ranks")
def test_two_ranks_give_the_same_images(whole: torch.Tensor, file: Path, data: Path, tmp_path: Path) -> None:
    on_ranks(2, groups_on, options(data, file, tmp_path / "shards"))
    assert torch.equal(images(tmp_path / "shards"), whole)


@pytest.mark.slow
def test_a_killed_generation_goes_on_where_it_was(whole: torch.Tensor, file: Path, data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "shards"
    command = [sys.executable, "-m", "tests.support.dying", "generate", "--weights", str(file), "--dataset", "digits"]
    command += ["--data", str(data), "--groups", "2", "--steps", "3", "--precision", "fp32", "--micro-batch", "4"]
    command += ["--threads", "1", "--shards", str(folder)]
    assert subprocess.run(command, stdout=subprocess.DEVNULL, cwd=ROOT).returncode == -signal.SIGKILL
    there = {path: path.stat().st_mtime_ns for path in folder.glob("shard-*.npz")}
    assert len(there) == 1
    alone(groups_on, options(data, file, folder))
    assert torch.equal(images(folder), whole)
    assert all(path.stat().st_mtime_ns == when for path, when in there.items())


def test_a_missing_or_cut_shard_alone_is_made_again(
    whole: torch.Tensor, file: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen = options(data, file, tmp_path / "shards")
    alone(groups_on, chosen)
    last = shards.shard_file(chosen.shards, 2)
    last.write_bytes(last.read_bytes()[:1000])
    made: list[int] = []
    original = Generation.shard
    with patch.object(Generation, "shard", lambda self, number: made.append(number) or original(self, number)):
        alone(groups_on, chosen)
        alone(groups_on, chosen)
    assert made == [2] and torch.equal(images(chosen.shards), whole)
    assert "2 of 3 shards are there already" in capsys.readouterr().out


def test_a_full_disk_costs_the_shard_under_way(file: Path, data: Path, tmp_path: Path) -> None:
    chosen, written = options(data, file, tmp_path / "shards"), shards.write_shard

    def full(folder: Path, number: int, *rest: object) -> None:
        if number == 1:
            raise OSError(28, os.strerror(28))
        written(folder, number, *rest)  # type: ignore[arg-type]

    with (
        patch.object(shards, "write_shard", full),
        pytest.raises(RunError, match=r"shard-000001.npz: not written \(No"),
    ):
        alone(groups_on, chosen)
    assert shards.existing(chosen.shards) == {0}


def test_other_groups_in_the_folder_are_refused(file: Path, data: Path, tmp_path: Path) -> None:
    chosen = options(data, file, tmp_path / "shards", groups=1)
    alone(groups_on, chosen)
    with pytest.raises(ValueError, match=r"seed is 0, not 1"):
        alone(groups_on, replace(chosen, seed=1))
