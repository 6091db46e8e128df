"""Has the workers encode the parts that are not finished, as long as not too many images are rejected."""

from dataclasses import dataclass, field

from dataprep.console import note
from dataprep.progress_meter import ProgressMeter
from dataprep.sources.entries import Reader
from dataprep.workers import WorkerPool
from dataprep.writing.parts import encode_part, read_part
from dataprep.writing.plan import Plan


@dataclass
class Rejects:
    """Images left out so far: (path, reason). At most the share `limit` of `total` images may be."""

    total: int
    limit: float
    rows: list[tuple[str, str]] = field(default_factory=list)

    def add(self, rows: list[tuple[str, str]]) -> None:
        """Raises ValueError as soon as there are too many, rather than hours later."""
        self.rows += rows
        if len(self.rows) > self.limit * self.total:
            examples = "; ".join(f"{path} ({reason})" for path, reason in sorted(self.rows)[:3])
            raise ValueError(
                f"{len(self.rows)} of {self.total} images cannot be read, more than --max-rejected {self.limit:g} "
                f"allows: {examples}; repair them or raise --max-rejected"
            )


def encode_missing(plan: Plan, reader: Reader, workers: WorkerPool, max_rejected: float) -> float:
    """Encode what is not finished; returns images per second.

    Raises ValueError when more than the share `max_rejected` of all images is rejected, WorkerDied, or OSError.
    """
    if plan.done:
        note(f"{plan.done} of {plan.total} images were finished by an earlier run and are kept")
    rejects = Rejects(total=plan.total, limit=max_rejected)
    for part in plan.finished.values():
        rejects.add(part.rejects)
    missing = [task for task in plan.tasks if task.file not in plan.finished]
    with ProgressMeter("images", plan.total, done_before=plan.done) as meter:
        calls = ((reader, task.recipe, task.entries, task.file) for task in missing)
        for file in workers.map(encode_part, calls, meter.add):
            new = read_part(file)
            if new is None:
                raise OSError(f"{file} cannot be read back; check the disk and run the same command again")
            plan.finished[file] = new
            rejects.add(new.rejects)
        return meter.rate
