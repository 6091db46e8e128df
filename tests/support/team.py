"""Rank processes that outlive a job: they import torch, load the kernels and compile FFCV's decoder once, not per test.

Each job runs in a process group of its own, with the test's environment, working directory, stdout and stderr. A job
that raises, dies or hangs fails alone: its team is ended, and the next job gets a new one.
"""

import atexit
import contextlib
import ctypes
import gc
import multiprocessing
import os
import pickle
import socket
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.reduction import recv_handle, send_handle
from pathlib import Path
from typing import Any

PATIENCE = 900  # seconds after which a job is taken for hung; the longest takes one minute on free cores
FAREWELL = 2  # seconds in which the other ranks may report after one has failed
ENOUGH = 5 << 28  # bytes of memory that a process may keep between jobs; 3/4 of it are usual
LARGEST = 3 << 29  # bytes: a process that keeps more is not used for another job


class RankError(AssertionError):
    """A rank of a job raised or died; the message holds its traceback."""


class Member:
    """One process of the team, from this side."""

    def __init__(self) -> None:
        self.connection, theirs = multiprocessing.Pipe()
        self.process = multiprocessing.get_context("spawn").Process(target=_serve, args=(theirs,), daemon=True)
        self.process.start()
        theirs.close()
        self.seconds = 0.0  # of processor time so far

    def order(self, job: bytes) -> None:
        """Sends it the pickled job and, for its output, this process's stdout and stderr."""
        for stream in (1, 2):
            send_handle(self.connection, stream, self.process.pid)
        self.connection.send_bytes(job)

    def end(self) -> None:
        self.connection.close()
        self.process.kill()
        self.process.join()


@dataclass
class Team:
    """Members are started when a job first needs so many; the first ``world`` of them are its ranks."""

    members: list[Member] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """Processor time of the living members; that of those which ended is in this process's ``os.times()``."""
        return sum(member.seconds for member in self.members)

    def run(self, world: int, function: Callable[..., Any], arguments: tuple[Any, ...]) -> list[Any]:
        """``function(ranks, *arguments)`` on each of ``world`` ranks; their results in rank order. Raises RankError."""
        self._retire()
        self.members += [Member() for _ in range(world - len(self.members))]
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(probe.getsockname()[1])}
        for rank, member in enumerate(self.members[:world]):
            place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": world, "LOCAL_WORLD_SIZE": world}
            environment = dict(os.environ) | address | {name: str(value) for name, value in place.items()}
            member.order(pickle.dumps((environment, str(Path.cwd()), sys.path, pickle.dumps((function, arguments)))))
        try:
            return self._results(self.members[:world])
        except BaseException:
            self.end()
            raise

    def _results(self, members: list[Member]) -> list[Any]:
        found: dict[int, Any] = {}
        failures: list[tuple[float, str]] = []  # when, what
        waiting = {member.connection: rank for rank, member in enumerate(members)}
        deadline = time.monotonic() + PATIENCE
        while waiting and (ready := wait(list(waiting), timeout=max(0.0, deadline - time.monotonic()))):
            for connection in ready:
                assert isinstance(connection, Connection)
                rank = waiting.pop(connection)
                fine, moment, result = self._result(members[rank])
                if fine:
                    found[rank] = result
                else:
                    failures.append((moment, f"rank {rank} {result}"))
                    deadline = min(deadline, time.monotonic() + FAREWELL)
        if failures:  # the first is the cause: the others lost their connection to that rank
            raise RankError(min(failures)[1])
        if waiting:
            raise RankError(f"ranks {sorted(waiting.values())} did not end within {PATIENCE} s")
        return [found[rank] for rank in range(len(members))]

    def _result(self, member: Member) -> tuple[bool, float, Any]:
        """(True, when, result), or (False, when, what happened); a dead process is taken for the first to fail."""
        try:
            fine, moment, member.seconds, result = pickle.loads(member.connection.recv_bytes())
        except (EOFError, ConnectionError):
            member.process.join(5)
            return False, 0.0, f"died (exit code {member.process.exitcode})"
        return fine, moment, result if fine else f"raised:\n{result}"

    def _retire(self) -> None:
        """Ends those that keep too much memory."""
        large = [member for member in self.members if _resident(member.process.pid) > LARGEST]
        for member in large:
            self.members.remove(member)
            member.end()

    def end(self) -> None:
        """Ends all processes."""
        while self.members:
            self.members.pop().end()


TEAM = Team()
atexit.register(TEAM.end)


def _resident(pid: int | None) -> int:
    """Bytes of memory of a process; 0 where the system does not tell."""
    with contextlib.suppress(OSError):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return 0


def _serve(connection: Connection) -> None:
    """The life of a member: job after job until the other end closes."""
    while True:
        try:
            for stream in (1, 2):
                given = recv_handle(connection)
                os.dup2(given, stream)
                os.close(given)
            environment, folder, path, job = pickle.loads(connection.recv_bytes())
        except EOFError:
            return
        os.environ.clear()
        os.environ.update(environment)
        os.chdir(folder)
        sys.path[:] = path
        fine, moment, result = _run(job)
        sys.stdout.flush()
        sys.stderr.flush()
        forget()
        times = os.times()
        seconds = times.user + times.system + times.children_user + times.children_system
        connection.send_bytes(pickle.dumps((fine, moment, seconds, result)))


def _run(job: bytes) -> tuple[bool, float, Any]:
    """(True, when it ended, result) or (False, when it raised, traceback)."""
    import torch

    from pipeline import distributed
    from tests.support import one_compilation

    one_compilation.install()
    torch.set_num_threads(1)
    try:
        function, arguments = pickle.loads(job)
        ranks = distributed.start()
        try:
            result = function(ranks, *arguments)
            distributed.barrier()
            return True, time.monotonic(), result
        except BaseException:
            return False, time.monotonic(), traceback.format_exc()  # before the group is left: the others fail then
        finally:
            distributed.stop()
    except BaseException:
        return False, time.monotonic(), traceback.format_exc()


def forget() -> None:
    """Drops what nobody refers to; a process above ENOUGH gives it back to the kernel, which is slow to undo.

    (The trainer tells glibc to keep freed memory for the next step.)
    """
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc alone has it
    if trim is not None and _resident(os.getpid()) > ENOUGH:
        trim(0)
