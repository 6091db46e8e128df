"""Who writes a run folder: one process, named in lock.json with its host, pid and heartbeat, while it lives."""

import fcntl
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from pipeline.runs.files import warn, write_atomically

STALE_SECONDS = 60  # without a heartbeat, after which a lock of another host counts as dead
LOCK_FILE = "lock.json"
PATIENCE_SECONDS = 10  # to wait for a process of this host, whose death is seen at once


@dataclass(frozen=True)
class Owner:
    """A process that writes a run folder: ``started`` in clock ticks since its host's boot, as pids are used again."""

    host: str
    pid: int
    started: int | None

    @classmethod
    def this_process(cls) -> "Owner":
        return cls(socket.gethostname(), os.getpid(), _start_of(os.getpid()))


def live_owner(folder: Path) -> Owner | None:
    """The process that lock.json names, None where there is none or it is dead.

    A process of this host is looked up; one of another host counts as dead STALE_SECONDS after its last heartbeat.
    """
    try:
        content = json.loads((folder / LOCK_FILE).read_text())
    except (OSError, json.JSONDecodeError):
        return None
    owner = Owner(content["host"], content["pid"], content.get("started"))
    if owner.host != socket.gethostname():
        return owner if time.time() - content["time"] < STALE_SECONDS else None
    started = _start_of(owner.pid)
    return owner if started is not None and owner.started in (None, started) else None


class RunLock:
    """The right to write ``folder``, held by one process at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._file = folder / LOCK_FILE
        self._held = False
        self._released = threading.Event()

    def claim(self) -> None:
        """Takes the folder, until ``release`` or the end of this process.

        Waits a while for another process that writes it, then takes over its lock if it is dead; ValueError if not.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        began = time.monotonic()
        while (owner := self._take()) is not None:
            elsewhere = owner.host != socket.gethostname()
            if time.monotonic() - began > (STALE_SECONDS if elsewhere else PATIENCE_SECONDS):
                raise ValueError(
                    f"{self.folder}: process {owner.pid} on {owner.host} is writing this run; wait for it, "
                    f"or choose another out="
                )
            time.sleep(0.1)
        self._held = True
        threading.Thread(target=self._keep_beating, daemon=True).start()

    def release(self) -> None:
        """Lets others write the folder, if it is held."""
        if self._held and not self._released.is_set():
            self._released.set()
            self._file.unlink(missing_ok=True)

    def _take(self) -> Owner | None:
        """Takes the lock, or returns who holds it. Of two processes that find a dead lock, one gets it."""
        with _alone_in(self.folder):
            owner = live_owner(self.folder)
            if owner is None or owner == Owner.this_process():
                self._beat()
                return None
            return owner

    def _beat(self) -> None:
        write_atomically(self._file, json.dumps({**asdict(Owner.this_process()), "time": time.time()}))

    def _keep_beating(self) -> None:
        """Renews the heartbeat while this process lives: another host cannot look up its pid."""
        while not self._released.wait(STALE_SECONDS / 4):
            try:
                self._beat()
            except OSError as error:
                warn(f"{self._file}: not written ({error.strerror})")


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """One process at a time, of all that share the file system, where it supports locks."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _start_of(pid: int) -> int | None:
    """When process ``pid`` of this host started, in clock ticks since boot; None if it is dead."""
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if state == "Z" else int(fields[18])  # proc(5): starttime is field 22, the state field 3
