"""Numbers leave the device here: metrics.jsonl, TensorBoard, the live view, status and result.

The only host synchronisations of a run, at ``log_every`` and ``eval_every``.
"""

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.calibration import scores
from pipeline.distributed import all_reduce_sum, broadcast_object
from pipeline.runs.checkpoints import last_saved_step
from pipeline.runs.environment import environment
from pipeline.runs.folder import RunFolder
from pipeline.training.checkpoint import Writer
from pipeline.training.inference import predict
from pipeline.training.label_quality import summary, summary_by_class
from pipeline.training.live_view import LiveView
from pipeline.training.training_run import LOGGED, TrainingRun

SHOWN = ("error", "ece", "ece15", "ace", "oe", "ue", "nll", "brier")


class RunLog:
    """Writes for the whole run on rank 0; every method is collective."""

    def __init__(self, run: TrainingRun, folder: RunFolder, threads: int) -> None:
        self.run, self.folder, self.config = run, folder, run.config
        self.main = run.ranks.is_main
        self.writer = Writer(folder.checkpoints, run.ranks)
        step = run.progress.step
        self.view = LiveView(f"{self.config.algorithm}+{self.config.mix}", self.config.steps, step, self.main)
        self.clock = time.monotonic()  # of the last update of progress.seconds
        self.mark = time.monotonic()  # since when the next training line's images count
        self.mark_step = step
        self.predictions: tuple[int, NDArray[np.float32]] | None = None
        self.board: Any = None  # TensorBoard's SummaryWriter
        if self.main:
            on_gpu = run.ranks.device.type == "cuda"
            folder.describe(environment(run.numerics.precision, run.ranks.world, threads, on_gpu))
            folder.cut(step)
            folder.status("running", step)
            from torch.utils.tensorboard import SummaryWriter  # of the first rank alone: it costs a second

            self.board = SummaryWriter(str(folder.path / "tensorboard"), purge_step=step + 1)

    def training(self) -> None:
        """A training line: means over the steps since the last one."""
        self.run.check()
        progress = self.run.progress
        sums = progress.sums.tolist()
        progress.sums.zero_()
        now = time.monotonic()
        images = (self.config.batch.labelled + self.config.unlabelled_batch) * (progress.step - self.mark_step)
        line: dict[str, Any] = {"step": progress.step}
        line |= {name: total / sums[-1] for name, total in zip(LOGGED, sums, strict=False)}
        line |= summary(all_reduce_sum(self.run.quality.since_line))
        self.run.quality.since_line.zero_()
        line["lr"] = self.run.schedule.learning_rate(progress.step - 1)
        line["images_per_second"] = images / max(now - self.mark, 1e-9)
        self.mark, self.mark_step = now, progress.step
        self._write(line, "train")
        self.view.training(line)
        if self.main:
            self.folder.status("running", progress.step)

    def evaluation(self) -> None:
        """An evaluation line: the EMA model on the test set."""
        self.run.check()
        began, run, bins = time.monotonic(), self.run, self.config.evaluation.ece_bins
        logits = predict(run.evaluated, run.test_images, run.numerics, run.ranks)
        metrics = broadcast_object(scores.metrics(logits, run.test_images.labels, bins) if self.main else None)
        step = run.progress.step
        if not run.progress.best or metrics["error"] < run.progress.best["error"]:
            run.progress.best = {"step": step, **{name: metrics[name] for name in SHOWN}}
        self.predictions = (step, logits)
        line = {"step": step, **{name: metrics[name] for name in SHOWN}}
        line |= summary_by_class(all_reduce_sum(run.quality.by_class))
        run.quality.by_class.zero_()
        self._write(line, "test")
        self.view.evaluation(line)
        self.mark += time.monotonic() - began

    def save(self) -> None:
        """A checkpoint."""
        self.run.check()
        began = time.monotonic()
        self._count_seconds()
        self.run.save(self.writer)
        self.mark += time.monotonic() - began

    def stop(self) -> None:
        """The end of an interrupted run: its checkpoint, and status.json with the step that it will resume from."""
        self.save()
        self.writer.wait()
        if self.main:
            step = last_saved_step(self.folder.checkpoints)
            self.folder.status("preempted", step)
            self.folder.lock.release()
            self.view.say(f"{self.folder.path}: stopped at step {self.run.progress.step}, resumes from step {step}")

    def finish(self) -> None:
        """predictions.npz, status.json and result.json of the EMA model at the last step."""
        self.writer.close()
        step = self.run.progress.step
        if self.predictions is None or self.predictions[0] != step:
            logits = predict(self.run.evaluated, self.run.test_images, self.run.numerics, self.run.ranks)
            self.predictions = (step, logits)
        self._count_seconds()
        if self.main and self.board:
            self.board.close()
            logits, labels = self.predictions[1], self.run.test_images.labels
            self.folder.finish(
                logits, labels, self._result(scores.metrics(logits, labels, self.config.evaluation.ece_bins))
            )
            self.folder.lock.release()
            self.view.say(f"{self.folder.path}: finished in {self.run.progress.seconds:.0f} s")

    def _result(self, metrics: dict[str, float]) -> dict[str, Any]:
        progress = self.run.progress
        images = (self.config.batch.labelled + self.config.unlabelled_batch) * progress.step
        best = {**progress.best, "selected_on": "test"}
        rate = images / max(progress.seconds, 1e-9)
        return {"step": progress.step, **metrics, "images_per_second": rate, "seconds": progress.seconds, "best": best}

    def _write(self, line: dict[str, Any], group: str) -> None:
        if self.main and self.board:
            self.folder.append(line)
            for name, value in line.items():
                if name != "step" and isinstance(value, int | float):
                    self.board.add_scalar(f"{group}/{name}", value, line["step"])

    def _count_seconds(self) -> None:
        now = time.monotonic()
        self.run.progress.seconds += now - self.clock
        self.clock = now
