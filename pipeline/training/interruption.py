"""Signals that ask a run to stop: the step is finished, a checkpoint saved, and all ranks end together.

SIGUSR2 is what a scheduler sends ahead of the end of a job's time, SIGTERM what it or torchrun sends at the end, SIGINT
is Ctrl-C. Any rank may get it, at any moment; the others learn of it from a number that travels with the statistics of
the step.
"""

import signal
from collections import deque
from types import FrameType, TracebackType

import torch
from torch import Tensor

SIGNALS = (signal.SIGUSR2, signal.SIGTERM, signal.SIGINT)
LAG = 2  # steps after which a number has surely arrived from the device without waiting for it


class Interruption:
    """Catches the signals while it is entered; ``requested``: one came to this rank."""

    def __init__(self, device: torch.device) -> None:
        self.requested = False
        self.later = device.type == "cuda"
        self._coming: deque[tuple[Tensor, torch.cuda.Event]] = deque()

    def __enter__(self) -> "Interruption":
        self._before = {number: signal.signal(number, self._request) for number in SIGNALS}
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def agreed(self, share: Tensor) -> bool:
        """Whether all ranks stop after this step; called by all at every step.

        ``share`` []: of the ranks that were asked to stop, after a reduction, so the same on all. On CUDA the answer is
        that of LAG steps ago, whose copy has arrived: no step waits for the device.
        """
        if not self.later:
            return share.item() > 0
        copy, event = torch.empty((), dtype=share.dtype, pin_memory=True), torch.cuda.Event()
        copy.copy_(share, non_blocking=True)
        event.record()
        self._coming.append((copy, event))
        if len(self._coming) <= LAG:
            return False
        copy, event = self._coming.popleft()
        event.synchronize()
        return copy.item() > 0

    def _request(self, number: int, frame: FrameType | None) -> None:
        self.requested = True
