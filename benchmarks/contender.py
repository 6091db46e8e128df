"""What is compared runs in processes of its own, one at work at a time, each with its own settings and cores.

The parent asks by name (``Contender.ask``); the child answers from a dict of functions (``serve``). Standard library
only: the peer's Python imports this too.
"""

import os
import pickle
import subprocess
import sys
import traceback
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Self

SOCKET = "CONTENDER_SOCKET"


class Contender:
    """A child that runs ``script`` of this folder, on ``cores`` alone; between two requests it stands still."""

    def __init__(
        self, script: str, python: str = sys.executable, cores: Collection[int] = (), **environment: str
    ) -> None:
        self.script = script
        self.connection, end = Pipe()
        self.process = subprocess.Popen(
            [python, str(Path(__file__).parent / script)],
            env={**os.environ, **environment, SOCKET: str(end.fileno()), "PYTHONWARNINGS": "ignore"},
            stdout=2,  # what it prints is no result of the benchmark's
            pass_fds=[end.fileno()],
            preexec_fn=(lambda: os.sched_setaffinity(0, cores)) if cores else None,
        )
        end.close()

    def ask(self, action: str, **options: Any) -> Any:
        """What the child's ``action`` returns; SystemExit where it failed (its traceback is on stderr)."""
        self.tell(action, **options)
        return self.answer()

    def tell(self, action: str, **options: Any) -> None:
        """Asks, and does not wait: several children work together until their ``answer`` is taken."""
        self.action = action
        with self._alive():
            self.connection.send_bytes(pickle.dumps((action, options)))

    def answer(self) -> Any:
        """To what was told last, as ``ask``."""
        with self._alive():
            fine, answer = pickle.loads(self.connection.recv_bytes())
        if not fine:
            raise SystemExit(f"{self.script}: {self.action} failed: {answer}")
        return answer

    @contextmanager
    def _alive(self) -> Iterator[None]:
        try:
            yield
        except (EOFError, OSError):
            raise SystemExit(f"{self.script}: died (exit code {self.process.wait()}); its message is above") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()  # the child ends at the end of its input
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()


class Requests:
    """In the child: the parent's requests, one after the other, until it closes."""

    def __init__(self) -> None:
        self.connection = Connection(int(os.environ[SOCKET]))

    def __iter__(self) -> Iterator[tuple[str, dict[str, Any]]]:
        while True:
            try:
                yield pickle.loads(self.connection.recv_bytes())
            except EOFError:
                return

    def answer(self, value: Any, fine: bool = True) -> None:
        self.connection.send_bytes(pickle.dumps((fine, value)))


def serve(actions: Mapping[str, Callable[..., Any]]) -> None:
    """The life of a child whose requests are calls."""
    requests = Requests()
    for action, options in requests:
        try:
            requests.answer(actions[action](**options))
        except Exception as error:
            traceback.print_exc()
            requests.answer(f"{type(error).__name__}: {error}", fine=False)
