"""Has the workers encode the parts that are not finished, as long as not too many images are rejected."""

from dataclasses import dataclass, field
from pathlib import Path

from dataprep.console import note, plural
from dataprep.progress_meter import ProgressMeter
from dataprep.sources.entries import Reader
from dataprep.workers import WorkerPool
from dataprep.writing.parts import make_part, read_part
from dataprep.writing.plan import Plan
from dataprep.writing.reject_list import write_rejects


@dataclass
class Rejects:
    """Images left out so far: (path, reason). At most the share `limit` of `total` images may be.

    file: where they are listed when there are more.
    """

    total: int
    limit: float
    file: Path
    rows: list[tuple[str, str]] = field(default_factory=list)

    def add(self, rows: list[tuple[str, str]]) -> None:
        """Raises ValueError as soon as there are too many, rather than hours later."""
        self.rows += rows
        if len(self.rows) > self.limit * self.total:
            write_rejects(sorted(self.rows), self.file)
            examples = "; ".join(f"{path} ({reason})" for path, reason in sorted(self.rows)[:3])
            raise ValueError(
                f"{len(self.rows)} of {self.total} images cannot be read, more than --max-rejected {self.limit:g} "
                f"allows: {examples}; {self.file} lists those found so far; mend them or raise --max-rejected"
            )


def encode_missing(plan: Plan, reader: Reader, workers: WorkerPool, max_rejected: float, list_rejects: Path) -> float:
    """Encode what is not finished; returns images per second.

    Raises ValueError when more than the share `max_rejected` of all images is rejected, and lists those found so far in
    the file `list_rejects`; or WorkerDied, or OSError.
    """
    if plan.done:
        note(f"{plan.done} of {plan.total} images were finished by an earlier run and are kept")
    if plan.doubtful:
        again = sum(map(len, plan.doubtful.values()))
        note(f"{plural(again, 'image')} that an earlier run has read may have changed since; reading again")
    rejects = Rejects(total=plan.total, limit=max_rejected, file=list_rejects)
    for part in plan.finished.values():
        rejects.add(part.rejects)
    missing = [task for task in plan.tasks if task.file not in plan.finished]
    with ProgressMeter("images", plan.total, done_before=plan.done) as meter:
        calls = ((reader, task.recipe, task.entries, task.file, plan.doubtful.get(task.file)) for task in missing)
        for file in workers.map(make_part, calls, meter.add):
            new = read_part(file)
            if new is None:
                raise OSError(f"{file} cannot be read back; check the disk and run the same command again")
            plan.finished[file] = new
            rejects.add(new.rejects)
        return meter.rate
