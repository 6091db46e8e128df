"""Two nodes through torchrun's rendezvous, on one machine: the run of one node with two ranks."""

import json
import socket
from pathlib import Path

import pytest

from tests.support.launch import PATIENCE, lines, result, small, torchrun
from tests.support.ranks import on_ranks
from tests.support.recorder import run

STEPS = "steps=6"


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.xdist_group("launches")
def test_two_nodes_are_one_run(data: Path, tmp_path: Path) -> None:
    on_ranks(2, run, small(f"data={data}", f"out={tmp_path / 'one'}", STEPS))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        where = f"--rdzv-endpoint=127.0.0.1:{probe.getsockname()[1]}"
    rendezvous = ("--nnodes=2", "--rdzv-backend=c10d", "--rdzv-id=test", where)
    sets = [f"data={data}", f"out={tmp_path / 'two'}", STEPS]
    nodes = [torchrun(1, small(*sets), *rendezvous) for _ in range(2)]
    outputs = [node.communicate(timeout=PATIENCE)[0] for node in nodes]
    assert [node.returncode for node in nodes] == [0, 0], outputs
    assert json.loads((tmp_path / "two/environment.json").read_text())["ranks"] == 2
    assert (lines(tmp_path / "two"), result(tmp_path / "two")) == (lines(tmp_path / "one"), result(tmp_path / "one"))
