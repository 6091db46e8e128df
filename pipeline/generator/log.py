"""Numbers and pictures of a generator's training: metrics.jsonl, TensorBoard, the live view, sheets/, the result."""

import time
from typing import Any

from pipeline.generator import records
from pipeline.generator.contact_sheet import contact_sheet
from pipeline.generator.denoiser import Denoiser
from pipeline.generator.training_run import GeneratorRun
from pipeline.runs.environment import environment
from pipeline.runs.folder import RunFolder
from pipeline.training.live_view import LiveView
from pipeline.training.records import Records
from pipeline.training.saving import Saving


class GeneratorLog:
    """Writes for the whole run on rank 0; every method is collective."""

    def __init__(self, run: GeneratorRun, folder: RunFolder, threads: int) -> None:
        self.run, self.folder, self.config = run, folder, run.config
        self.main, step = run.ranks.is_main, run.progress.step
        self.view = LiveView("generator", self.config.steps, step, self.main)
        self.saving = Saving(run, folder, self.view)
        self.mark = time.monotonic()  # since when the next training line's images count
        self.mark_step = step
        self.line: dict[str, Any] = {}
        ran_on = run.numerics.precision, run.ranks.world, threads, run.ranks.device.type == "cuda"
        self.records = Records(folder, lambda: environment(*ran_on), step, self.main)
        if self.main:
            records.describe(folder.path, self.config, run.dataset, run.size.resolution)

    def training(self) -> None:
        """A training line: the mean loss over the steps since the last one."""
        self.run.check()
        progress, now = self.run.progress, time.monotonic()
        loss, count = progress.sums.tolist()
        progress.sums.zero_()
        rate = (progress.step - self.mark_step) * self.config.batch / max(now - self.mark, 1e-9)
        self.mark, self.mark_step = now, progress.step
        learning_rate = self.config.learning_rate(progress.step - 1)
        self.line = {"step": progress.step, "loss": loss / count, "lr": learning_rate, "images_per_second": rate}
        self.records.write(self.line, "train")
        self.view.advance(progress.step, f"loss {loss / count:.4f}  {rate:,.0f} images/s")
        if self.main:
            self.folder.status("running", progress.step)

    def sheet(self) -> None:
        """sheets/step-N.png: what the average of weights makes; other ranks wait for rank 0 at the next step."""
        self.run.check()
        if not self.main:
            return
        began, run, file = time.monotonic(), self.run, f"sheets/step-{self.run.progress.step:08d}.png"
        side = run.dataset.stored_size
        network = run.ema.module
        assert isinstance(network, Denoiser)
        picture = contact_sheet(network, self.config.seed, side, run.ranks.device, run.numerics.autocast)
        (self.folder.path / "sheets").mkdir(exist_ok=True)
        picture.save(self.folder.path / file)
        self.view.say(f"contact sheet: {self.folder.path / file}")
        self.mark += time.monotonic() - began

    def save(self) -> None:
        """A checkpoint."""
        self.mark += self.saving.save()

    def stop(self) -> None:
        """The end of an interrupted run: its checkpoint, and status.json with the step that it will resume from."""
        self.saving.stop()

    def finish(self) -> None:
        """generator.pt, status.json and result.json."""
        self.saving.close()
        self.saving.count_seconds()
        if not self.main:
            return
        progress = self.run.progress
        self.records.close()
        records.write_generator(self.folder.path, self.run.ema.module.state_dict())
        rate = progress.step * self.config.batch / max(progress.seconds, 1e-9)
        parameters = sum(p.numel() for p in self.run.model.parameters())
        result = {"step": progress.step, "loss": self.line.get("loss"), "parameters": parameters}
        self.folder.finish({}, {**result, "images_per_second": rate, "seconds": progress.seconds})
        self.folder.lock.release()
        self.view.say(f"{self.folder.path}: finished in {progress.seconds:.0f} s")
