"""The weights of the best evaluation: kept in ``selected.pt`` while a run goes on, evaluated at its end.

The file itself says of which step it is and how good. So a run that is interrupted after it was written goes on from an
older checkpoint, and still ends with weights that were evaluated.
"""

import copy
import io
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import nn

from pipeline.distributed import Ranks, broadcast_object
from pipeline.runs.checkpoints import SELECTED_FILE
from pipeline.runs.files import warn, write_atomically
from pipeline.training.evaluation import Evaluation

SELECTED_ON = {"best_validation": "validation", "best_test": "test"}


class Selection:
    """Of the run in ``folder`` by ``rule`` (evaluation.select). ``step``: done by the run, 0 if it starts anew."""

    def __init__(self, folder: Path, rule: str, ranks: Ranks, step: int) -> None:
        self.file, self.ranks, self.part = folder / SELECTED_FILE, ranks, SELECTED_ON.get(rule)
        self.best = float("inf")  # error of what the file holds
        if not self.part or not ranks.is_main:
            return
        if step == 0:
            self.file.unlink(missing_ok=True)
        elif saved := self._read():
            self.best = saved["error"]

    def offer(self, evaluation: Evaluation, model: nn.Module) -> None:
        """Keeps the weights where the error is below that of all evaluations before."""
        if not self.part or not self.ranks.is_main:
            return
        error = evaluation.metrics["error" if self.part == "test" else "validation_error"]
        if error >= self.best:
            return
        buffer = io.BytesIO()
        torch.save({"step": evaluation.step, "error": error, "model": model.state_dict()}, buffer)
        try:
            write_atomically(self.file, buffer.getvalue())
            self.best = error
        except OSError as failure:
            warn(f"{self.file}: not written ({failure.strerror}); the best weights so far stay selected")

    def restore(self, model: nn.Module) -> tuple[nn.Module, int] | None:
        """A copy of ``model`` with the selected weights, and their step; None where there are none. Collective."""
        found = broadcast_object(self.part is not None and self.file.is_file())
        if not found:
            return None
        saved = self._read()
        assert saved is not None, self.file
        chosen = copy.deepcopy(model)
        chosen.load_state_dict(saved["model"])
        return chosen, saved["step"]

    def _read(self) -> dict[str, Any] | None:
        try:
            return torch.load(self.file, map_location=self.ranks.device, weights_only=True)
        except (OSError, RuntimeError, zipfile.BadZipFile):
            return None
