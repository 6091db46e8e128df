"""How fast predict.py is, beside decoding and resizing the same files alone, and beside the network alone.

    python benchmarks/predicting.py [--source FOLDER_OR_TAR] [--images 2000] [--workers 2] [--model wrn-28-2]
        [--image-size 224] [--memory]

A run of one step is made on a few of the files; then each of the three does all images, in turn, in one process:
"decode" is predict.py's workers without a network, "network" the evaluation pass over a batch in memory, again and
again. On a machine without a GPU both share the cores, so only where one of them costs little can the whole come near
the lower of the two. The last line is one JSON object, {"predict_x": predict.py over the lower}.
--memory: the process's size after each tenth of the images, and no ratio.
"""

import argparse
import contextlib
import io
import json
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from writing import gather, repeat

from dataprep.make_beton import main as make_beton
from dataprep.workers import WorkerPool
from pipeline import distributed, train
from pipeline.prediction.decisions import Decisions
from pipeline.prediction.images import Batch, FileImages
from pipeline.prediction.job import WORKERS_RUN, Network, stream
from pipeline.prediction.listing import list_images
from pipeline.prediction.output import Output
from pipeline.prediction.rows import Rows
from pipeline.report.restore import restore

TRAINED_ON = 40  # images of the run
STEP = ("steps=1", "eval_every=1", "checkpoint_every=1", "batch.labelled=2", "batch.ratio=1", "labels=1", "threads=1")


def main() -> None:
    """Prints a line for each round, then the ratio."""
    given = _parser().parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = gather(given.source, folder / "files", 100)
        repeat(files[:TRAINED_ON], folder / "train", TRAINED_ON)
        repeat(files, folder / "photos", given.images)
        with contextlib.redirect_stdout(io.StringIO()):
            run = _train(folder, given.model, given.image_size)
        measure(run, folder, given)


def measure(run: Path, folder: Path, given: argparse.Namespace) -> None:
    """Rates of the three in images/s, medians of alternating rounds."""
    ranks = distributed.start()
    found = restore(run, str(folder / "data"), "ema", None, ranks)
    found = replace(found, config=replace(found.config, eval_batch=given.batch))
    network, listed = Network(found, "fp32"), list_images([folder / "photos"], folder / "work")
    with WorkerPool(given.workers, WORKERS_RUN) as pool:
        source = FileImages(listed, found, given.batch, pool)
        first = next(source.batches(0))  # workers and network are warm
        found.model.eval()
        network.logits(first)
        if given.memory:
            memory(source, network)
            return
        rates: dict[str, list[float]] = {"decode": [], "network": [], "predict": []}
        for _ in range(given.rounds):
            rates["decode"].append(_rate(source.total, lambda: [None for _ in source.batches(0)]))
            rates["network"].append(
                _rate(source.total, lambda: [network.logits(b) for b in _again(first, source.total)])
            )
            rates["predict"].append(_rate(source.total, lambda: _predict(source, network, folder)))
            print({name: round(each[-1]) for name, each in rates.items()}, flush=True)
    medians = {name: statistics.median(each) for name, each in rates.items()}
    print(f"{given.model}, {source.total} images, {given.workers} workers: {medians} images/s")
    print(json.dumps({"predict_x": round(medians["predict"] / min(medians["decode"], medians["network"]), 3)}))
    distributed.stop()


def memory(source: FileImages, network: Network) -> None:
    """Prints the resident size of this process, in MiB, after each tenth."""
    tenth = source.total // 10
    for batch, _ in network.predicted(source.batches(0)):
        if batch.done // tenth > (batch.done - len(batch.names)) // tenth:
            pages = int(Path("/proc/self/statm").read_text().split()[1])
            print(f"{batch.done} images: {pages * os.sysconf('SC_PAGE_SIZE') >> 20} MiB", flush=True)


def _predict(source: FileImages, network: Network, folder: Path) -> None:
    classes = network.restored.dataset.classes
    rows = Rows(classes, Decisions(1.0))
    with contextlib.redirect_stdout(io.StringIO()), Output(folder / "p.csv", {}, rows.header()) as output:
        stream(source, network, rows, output)
        output.finish({})


def _again(batch: Batch, total: int) -> Iterator[Batch]:
    """As many images as there are."""
    for start in range(0, total, len(batch.names)):
        yield replace(batch, images=batch.images[: total - start])


def _rate(images: int, work: object) -> float:
    began = time.perf_counter()
    assert callable(work)
    work()
    return images / (time.perf_counter() - began)


def _train(folder: Path, model: str, size: int) -> Path:
    """A run on images of `size` pixels."""
    data = [
        "--image-size",
        str(size),
        "--out",
        str(folder / "data"),
        "--labels-per-class",
        "1",
        "--seeds",
        "0",
        "--workers",
        "1",
    ]
    if make_beton(["folder", "--source", str(folder / "train"), *data]):
        raise SystemExit("no data folder")
    sets = [f"data={folder / 'data'}", "dataset=folder", f"out={folder / 'run'}", f"model.name={model}", *STEP]
    if train.main(["--set", *sets]):
        raise SystemExit("no run")
    return folder / "run"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, help="folder or tar of images (default: 100 made here)")
    for name, default in (("images", 2000), ("workers", len(os.sched_getaffinity(0))), ("rounds", 3), ("batch", 128)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--image-size", type=int, default=224, help="side in pixels of what the network sees")
    parser.add_argument("--model", default="wrn-28-2")
    parser.add_argument("--memory", action="store_true")
    return parser


if __name__ == "__main__":
    main()
