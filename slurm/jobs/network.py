"""The network between the nodes of a job, where a node's own name would mislead gloo."""

import fcntl
import socket
import struct
from collections.abc import Sequence

SIOCGIFADDR = 0x8915  # linux/sockios.h
ANY_PORT = 9


def gloo_interface(others: Sequence[str]) -> str | None:
    """The interface by which this node reaches the ``others``, names of hosts; None where gloo is right by itself.

    gloo, which checkpoints and agreements of ranks need on GPUs too, listens where the node's own name leads. Where
    that is the loopback, as Debian's 127.0.1.1, no other node gets through: "connectFullMesh failed". None too where
    the way to them is not sure, so that nothing is worse than before.
    """
    if not _is_loopback(_address_of(socket.gethostname())):
        return None
    ways = (_own_address_towards(host) for host in others)
    return next((name for way in ways if not _is_loopback(way) and (name := _interface_with(way))), None)


def _address_of(host: str) -> str:
    """IPv4; the loopback, as for gloo, where the name leads nowhere."""
    try:
        return socket.gethostbyname(host)
    except OSError:
        return "127.0.0.1"


def _is_loopback(address: str) -> bool:
    return address.startswith("127.")


def _own_address_towards(host: str) -> str:
    """This node's address on the way to ``host``: a datagram socket is given one, and nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as way:
        try:
            way.connect((host, ANY_PORT))
        except OSError:
            return "127.0.0.1"
        address: str = way.getsockname()[0]
        return address


def _interface_with(address: str) -> str | None:
    """The name of the interface whose first address it is."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        for _, name in socket.if_nameindex():
            try:
                asked = fcntl.ioctl(any_socket, SIOCGIFADDR, struct.pack("256s", name.encode()))
            except OSError:  # it has none
                continue
            if socket.inet_ntoa(asked[20:24]) == address:
                return name
    return None
