"""Which network gloo is told to use: by this machine's own interfaces and names."""

import socket

import pytest

from slurm.jobs import network
from slurm.jobs.task import Task


def own_addresses() -> dict[str, str]:
    """Interfaces by address, as the kernel lists them."""
    found = {}
    for _, name in socket.if_nameindex():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, name.encode())
                probe.connect(("203.0.113.250", 9))  # of an address block for examples
            except OSError:
                continue
            found[probe.getsockname()[0]] = name
    return found


OUTWARD = {address: name for address, name in own_addresses().items() if not address.startswith("127.")}


def test_the_loopback_has_its_name() -> None:
    assert network._interface_with("127.0.0.1") == "lo"
    assert network._interface_with("203.0.113.250") is None


@pytest.mark.skipif(not OUTWARD, reason="a machine without a network")
def test_a_node_whose_name_is_the_loopback_uses_the_way_to_another(monkeypatch: pytest.MonkeyPatch) -> None:
    address, name = next(iter(OUTWARD.items()))
    monkeypatch.setattr(socket, "gethostname", lambda: "localhost")
    assert network.gloo_interface(["no.such.host.invalid", address]) == name
    monkeypatch.setattr(socket, "gethostname", lambda: "no.such.host.invalid")
    assert network.gloo_interface([address]) == name
    monkeypatch.setattr(socket, "gethostname", lambda: address)  # a name that leads to the node
    assert network.gloo_interface([address]) is None


def test_where_nothing_is_sure_gloo_chooses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "localhost")
    assert network.gloo_interface(["localhost", "no.such.host.invalid"]) is None
    assert network.gloo_interface([]) is None


def test_a_job_on_several_nodes_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr("slurm.jobs.task.gloo_interface", lambda others: asked.append(list(others)) or "ib0")
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    monkeypatch.delenv("GLOO_SOCKET_IFNAME", raising=False)
    several = Task("12", "slurm", rank=1, world=2, host="n1", others=("n1",))
    assert several.environment()["GLOO_SOCKET_IFNAME"] == "ib0"
    assert "GLOO_SOCKET_IFNAME" not in Task("12", "slurm", world=2).environment()  # one node
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "eth1")
    assert several.environment()["GLOO_SOCKET_IFNAME"] == "eth1"
    assert asked == [["n1"]]
