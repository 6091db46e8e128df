"""Lines of numbers on their way to metrics.jsonl and TensorBoard, on rank 0."""

from collections.abc import Callable
from typing import Any

from pipeline.runs.folder import RunFolder


class Records:
    """Opens the files of a run that goes on from ``step``; where it is not ``main`` it stays silent."""

    def __init__(self, folder: RunFolder, environment: Callable[[], dict[str, Any]], step: int, main: bool) -> None:
        self.folder = folder
        self.board: Any = None  # TensorBoard's SummaryWriter
        if not main:
            return
        folder.describe(environment())
        folder.cut(step)
        folder.status("running", step)
        from torch.utils.tensorboard import SummaryWriter  # of the first rank alone: it costs a second

        self.board = SummaryWriter(str(folder.path / "tensorboard"), purge_step=step + 1)

    def write(self, line: dict[str, Any], group: str) -> None:
        """A line of metrics.jsonl, and its numbers under ``group`` in TensorBoard."""
        if self.board is None:
            return
        self.folder.append(line)
        for name, value in line.items():
            if name != "step" and isinstance(value, int | float):
                self.board.add_scalar(f"{group}/{name}", value, line["step"])

    def close(self) -> None:
        """After the last line."""
        if self.board is not None:
            self.board.close()
