"""Numbers leave the device here: metrics.jsonl, TensorBoard, the live view, status and result.

The only host synchronisations of a run, at ``log_every`` and ``eval_every``.
"""

import time
from typing import Any

from numpy.typing import NDArray

from pipeline.distributed import all_reduce_sum
from pipeline.runs.environment import environment
from pipeline.runs.folder import RunFolder
from pipeline.training.evaluation import Evaluation
from pipeline.training.label_quality import summary, summary_by_class
from pipeline.training.live_view import LiveView
from pipeline.training.records import Records
from pipeline.training.saving import Saving
from pipeline.training.selection import Selection
from pipeline.training.training_run import TrainingRun


class RunLog:
    """Writes for the whole run on rank 0; every method is collective."""

    def __init__(self, run: TrainingRun, folder: RunFolder, threads: int) -> None:
        self.run, self.folder, self.config = run, folder, run.config
        self.main = run.ranks.is_main
        step = run.progress.step
        self.view = LiveView(f"{self.config.algorithm}+{self.config.mix}", self.config.steps, step, self.main)
        self.saving = Saving(run, folder, self.view)
        self.mark = time.monotonic()  # since when the next training line's images count
        self.mark_step = step
        self.selection = Selection(folder.path, self.config.evaluation.select, run.ranks, step)
        self.goal = self.config.evaluation.goal
        self.newest: Evaluation | None = None
        ran_on = run.numerics.precision, run.ranks.world, threads, run.ranks.device.type == "cuda"
        self.records = Records(folder, lambda: environment(*ran_on) | run.provenance, step, self.main)

    def training(self) -> None:
        """A training line: means over the steps since the last one."""
        self.run.check()
        progress = self.run.progress
        sums = progress.sums.tolist()
        progress.sums.zero_()
        now = time.monotonic()
        images = self.config.images_per_step * (progress.step - self.mark_step)
        line: dict[str, Any] = {"step": progress.step}
        line |= {name: total / sums[-1] for name, total in zip(self.run.logged, sums, strict=False)}
        line |= summary(all_reduce_sum(self.run.quality.since_line))
        self.run.quality.since_line.zero_()
        line["lr"] = self.run.schedule.learning_rate(progress.step - 1)
        line["images_per_second"] = images / max(now - self.mark, 1e-9)
        self.mark, self.mark_step = now, progress.step
        self.records.write(line, "train")
        self.view.training(line)
        if self.main:
            self.folder.status("running", progress.step)

    def evaluation(self) -> bool:
        """An evaluation line: the evaluated model on the test images, and on the validation images if there are.

        True where it meets ``evaluation.stop_at``: the run ends here.
        """
        self.run.check()
        began, run, step = time.monotonic(), self.run, self.run.progress.step
        self.newest = run.evaluator.evaluate(run.evaluated, step)
        self.selection.offer(self.newest, run.evaluated)
        line = {"step": step, **{n: value for n, value in self.newest.metrics.items() if not n.endswith("num_samples")}}
        if not run.progress.best or line["error"] < run.progress.best["error"]:
            run.progress.best = line.copy()
        line |= summary_by_class(all_reduce_sum(run.quality.by_class))
        run.quality.by_class.zero_()
        self.records.write(line, "test")
        self.view.evaluation(line)
        self.mark += time.monotonic() - began
        return self.newest.meets(self.goal)

    def ended(self) -> bool:
        """Whether the run resumes from the checkpoint of the evaluation that ended it. Collective."""
        run, step = self.run, self.run.progress.step
        if self.goal is None or not step or not run.schedule.due(self.config.eval_every, step):
            return False
        self.newest = run.evaluator.evaluate(run.evaluated, step)
        return self.newest.meets(self.goal)

    def save(self) -> None:
        """A checkpoint."""
        self.mark += self.saving.save()

    def stop(self) -> None:
        """The end of an interrupted run: its checkpoint, and status.json with the step that it will resume from."""
        self.saving.stop()

    def finish(self) -> None:
        """predictions.npz, status.json and result.json: of the last step, and of the selected one if there is."""
        self.saving.close()
        run = self.run
        last = self.newest
        if last is None or last.step != run.progress.step:
            last = run.evaluator.evaluate(run.evaluated, run.progress.step)
        chosen = self.selection.restore(run.evaluated)
        selected = run.evaluator.evaluate(*chosen) if chosen else None
        self.saving.count_seconds()
        self.records.close()
        if self.main:
            self.folder.finish(self._arrays(last, selected), self._result(last, selected))
            self.folder.lock.release()
            self.view.say(f"{self.folder.path}: finished in {run.progress.seconds:.0f} s")

    def _arrays(self, last: Evaluation, selected: Evaluation | None) -> dict[str, NDArray[Any]]:
        """Of predictions.npz: logits and labels of the test images, validation_logits, selected_logits and so on."""
        arrays: dict[str, NDArray[Any]] = {}
        for part in last.logits:
            name = "" if part == "test" else f"{part}_"
            arrays |= {f"{name}logits": last.logits[part], f"{name}labels": self.run.evaluator.labels(part)}
            if selected:
                arrays[f"selected_{name}logits"] = selected.logits[part]
        return arrays

    def _result(self, last: Evaluation, selected: Evaluation | None) -> dict[str, Any]:
        progress = self.run.progress
        images = self.config.images_per_step * progress.step
        found: dict[str, Any] = {"step": progress.step, **last.metrics}
        found |= {"images_per_second": images / max(progress.seconds, 1e-9), "seconds": progress.seconds}
        found["best"] = {**progress.best, "selected_on": "test"}
        if selected:
            found["selected"] = {"step": selected.step, **selected.metrics, "selected_on": self.selection.part}
        return found
