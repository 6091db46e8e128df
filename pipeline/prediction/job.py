"""Predicts images with the network of a run and writes the list: what predict.py does once it knows what is asked."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dataprep.progress_meter import ProgressMeter
from dataprep.workers import WorkerPool
from pipeline import devices, distributed
from pipeline.distributed import Ranks
from pipeline.prediction.decisions import Decisions
from pipeline.prediction.images import Batch, FileImages, PoolImages, Source
from pipeline.prediction.listing import Listed
from pipeline.prediction.options import PredictOptions
from pipeline.prediction.output import Done, Output
from pipeline.prediction.rows import Rows
from pipeline.report.restore import Restored, restore
from pipeline.training.inference import answer

WORKERS_RUN = "pipeline.prediction.decoding"
Logits = NDArray[np.float32]


@dataclass(frozen=True)
class Network:
    """A restored network, with the precision that it predicts in."""

    restored: Restored
    precision: str

    def logits(self, batch: Batch) -> Logits:
        """[b, C] float32, by the very pass that evaluation makes; half precision only where it is asked for."""
        restored = self.restored
        if not batch.names:  # the last files could not be read
            return np.empty((0, len(restored.dataset.classes)), np.float32)
        half = self.precision == "bf16"
        with torch.autocast(restored.numerics.device.type, torch.bfloat16, enabled=half):
            logits = answer(restored.model, batch.images, restored.numerics.normalise, restored.numerics.device)[0]
        found: Logits = logits.float().cpu().numpy()
        return found

    def predicted(self, batches: Iterator[Batch]) -> Iterator[tuple[Batch, Logits]]:
        """Each batch with its logits, while the next is being read: the network has a thread of its own."""
        self.restored.model.eval()
        under_way: tuple[Batch, Future[Logits]] | None = None
        with ThreadPoolExecutor(1, "network", initializer=devices.for_threads()) as thread:
            for batch in batches:
                following = batch, thread.submit(self.logits, batch)
                if under_way:
                    yield under_way[0], under_way[1].result()
                under_way = following
            if under_way:
                yield under_way[0], under_way[1].result()


def predict(options: PredictOptions, listed: Listed | None, decisions: Decisions, weights: str) -> Done:
    """Writes the list of all images of `listed`, or of the pool, from where an earlier job of the same kind stopped.

    ValueError for the user's mistakes; OSError or WorkerDied where the system fails, after which the same command goes
    on.
    """
    ranks = distributed.start()
    try:
        with ExitStack() as stack:
            network = _restored(options, weights, ranks)
            source = _source(listed, network, options.workers, stack)
            rows = Rows(network.dataset.classes, decisions, options.probability_of)
            job = _job(options, network, decisions, weights, listed)
            with Output(options.out, job, rows.header()) as output:
                stream(source, Network(network, options.precision), rows, output)
                output.finish(_facts(job, decisions))
        return output.done
    finally:
        distributed.stop()


def _source(listed: Listed | None, network: Restored, workers: int, stack: ExitStack) -> Source:
    """The pool has no need of workers: FFCV decodes it."""
    if listed is None:
        return PoolImages(network)
    pool = stack.enter_context(WorkerPool(workers, WORKERS_RUN))
    return FileImages(listed, network, network.config.eval_batch, pool)


def _restored(options: PredictOptions, weights: str, ranks: Ranks) -> Restored:
    found = restore(options.run, options.data, weights, options.checkpoint, ranks)
    return replace(found, config=replace(found.config, eval_batch=options.batch or found.config.eval_batch))


def stream(source: Source, network: Network, rows: Rows, output: Output) -> None:
    """Predicts what `output` does not hold yet, and reports progress."""
    with ProgressMeter("images", source.total, done_before=output.done.images) as meter:
        for batch, logits in network.predicted(source.batches(output.done.images)):
            written = list(rows.rows(batch.names, batch.positions, logits))
            before = output.done.images
            output.add(written, batch.rejected, batch.done, rows.accepted(written))
            meter.add(batch.done - before)


def _job(
    options: PredictOptions, network: Restored, decisions: Decisions, weights: str, listed: Listed | None
) -> dict[str, Any]:
    """What decides about the rows."""
    return {
        "run": str(options.run.resolve()),
        "weights": weights,
        "step": network.step,
        "source": listed.digest() if listed else "pool",
        "temperature": decisions.temperature,
        "precision": options.precision,
        "batch": network.config.eval_batch,
        "accept": options.accept,
        "sets": options.sets,
        "coverage": options.coverage if options.sets else None,
        "probability_of": list(options.probability_of),
    }


def _facts(job: dict[str, Any], decisions: Decisions) -> dict[str, Any]:
    """What a reader of the list should know."""
    return {**job, "accept": asdict(decisions.accept) if decisions.accept else None}
