"""How fast make_beton.py writes, beside the floor: plain processes that decode, resize and encode the same files.

    python benchmarks/writing.py [--source FOLDER_OR_TAR] [--images 2000] [--workers 2] [--rounds 3]
    python benchmarks/writing.py --memory 10000 200000

Both read the same loose files, in turn, within one run; the figures are ratios of medians. "writing" is encoding the
parts and joining them into betons; "command" is all of it but the parent's imports, with listing, order, hashes and
splits. The last line is one JSON object, {"write_x": writing over the floor, "command_x": the command over the floor}.
--memory instead shows what the parent process takes at each count.
"""

import argparse
import contextlib
import io
import json
import multiprocessing
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from PIL import Image

from dataprep.make_beton import main as make_beton

EXTENSIONS = (".jpg", ".jpeg", ".png")
CLASSES = 10
CHUNK = 32
REPORT = """
import sys
from dataprep.make_beton import main
code = main(sys.argv[1:])
peak = next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM"))
print("peak", peak, file=sys.stderr)
sys.exit(code)
"""


def synthetic_photos(folder: Path, count: int) -> None:
    """JPEGs of 500x375 pixels, some 100 KB like ImageNet's: smooth shapes with a little noise."""
    for i in range(count):
        random = np.random.RandomState(i)
        small = Image.fromarray(random.randint(0, 256, (24, 32, 3), dtype=np.uint8))
        smooth = np.asarray(small.resize((500, 375), Image.Resampling.BICUBIC), np.int16)
        noisy = np.clip(smooth + random.normal(0, 12, smooth.shape), 0, 255).astype(np.uint8)
        Image.fromarray(noisy).save(folder / f"{i}.jpg", quality=95)


def gather(source: Path | None, folder: Path, most: int) -> list[Path]:
    """At most `most` distinct images of a folder or tar, or 100 made here; loose files in any case."""
    folder.mkdir()
    if source is None:
        synthetic_photos(folder, min(most, 100))
    elif source.is_file():
        with tarfile.open(source) as tar:
            images = (m for m in tar if m.isfile() and m.name.lower().endswith(EXTENSIONS))
            for i, member in zip(range(most), images, strict=False):
                member.name = f"{i}{Path(member.name).suffix}"
                tar.extract(member, folder, filter="data")
    root = source if source is not None and source.is_dir() else folder
    return sorted(file for file in root.rglob("*") if file.suffix.lower() in EXTENSIONS)[:most]


def repeat(files: list[Path], tree: Path, count: int) -> list[str]:
    """`count` copies in class folders, `files` over and over, so that every path is read from the disk cache."""
    for c in range(CLASSES):
        (tree / f"class{c}").mkdir(parents=True)
    copies = []
    for i in range(count):
        file = files[i % len(files)]
        copies.append(shutil.copyfile(file, tree / f"class{i % CLASSES}" / f"{i}{file.suffix}"))
    return [str(copy) for copy in copies]


def floor_one(path: str, side: int, raw: bool) -> int:
    """What has to be done to one image at the least; returns the bytes it became."""
    with Image.open(path) as image:
        rgb = image.convert("RGB")
    if rgb.size != (side, side):
        rgb = rgb.resize((side, side), Image.Resampling.BILINEAR)
    if raw:
        return len(rgb.tobytes())
    out = io.BytesIO()
    rgb.save(out, "JPEG", quality=90)
    return out.tell()


def floor_some(paths: list[str], side: int, raw: bool) -> int:
    return sum(floor_one(path, side, raw) for path in paths)


def floor(paths: list[str], side: int, raw: bool, workers: int) -> None:
    with multiprocessing.get_context("fork").Pool(workers) as pool:
        chunks = [paths[i : i + CHUNK] for i in range(0, len(paths), CHUNK)]
        pool.starmap(floor_some, [(chunk, side, raw) for chunk in chunks], chunksize=1)


def ours(tree: Path, out: Path, workers: int) -> tuple[dict, float]:
    """Make a data folder; returns its manifest and the seconds spent writing: encoding the parts and joining them."""
    from dataprep.command import build
    from dataprep.writing import join  # not above: the workers import this file, and FFCV takes seconds

    words = ["folder", "--source", tree, "--out", out, "--workers", workers]
    with contextlib.redirect_stdout(io.StringIO()), stopwatch((build, "encode_missing"), (join, "join")) as spent:
        code = make_beton([str(word) for word in words])
    if code:
        raise SystemExit(code)
    manifest = json.loads((out / "folder/manifest.json").read_text())
    shutil.rmtree(out)
    return manifest, sum(spent)


@contextlib.contextmanager
def stopwatch(*watched_functions: tuple[ModuleType, str]) -> Iterator[list[float]]:
    """Collects the seconds that calls of these functions, each given as its module and its name, take."""
    spent: list[float] = []
    originals = [(module, name, getattr(module, name)) for module, name in watched_functions]

    def watched(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            start = time.monotonic()
            try:
                return function(*arguments)
            finally:
                spent.append(time.monotonic() - start)

        return call

    for module, name, function in originals:
        setattr(module, name, watched(function))
    try:
        yield spent
    finally:
        for module, name, function in originals:
            setattr(module, name, function)


def timed(act: Callable[[], object]) -> float:
    start = time.monotonic()
    act()
    return time.monotonic() - start


def compare(args: argparse.Namespace, scratch: Path) -> dict[str, float]:
    files = gather(args.source, scratch / "files", args.images)
    paths = repeat(files, scratch / "tree", args.images)
    manifest, _ = ours(scratch / "tree", scratch / "out", args.workers)  # also imports what is slow to import
    side, raw = manifest["stored_size"], manifest["writer"]["encoding"] == "raw"
    seconds: dict[str, list[float]] = {"floor": [], "command": [], "writing": []}
    for _ in range(args.rounds):
        seconds["floor"].append(timed(lambda: floor(paths, side, raw, args.workers)))
        run = lambda: seconds["writing"].append(ours(scratch / "tree", scratch / "out", args.workers)[1])  # noqa: E731
        seconds["command"].append(timed(run))
    rates = {name: len(paths) / statistics.median(values) / args.workers for name, values in seconds.items()}
    kind = f"{len(paths)} images ({len(files)} distinct), stored {side}x{side} {'raw' if raw else 'jpg'}"
    print(f"{kind}, {args.workers} workers, medians of {args.rounds}, images/s per core:")
    for name, values in seconds.items():
        print(f"  {name:8} {rates[name]:8,.0f}   (seconds: {', '.join(f'{value:.2f}' for value in values)})")
    return {"write_x": rates["writing"] / rates["floor"], "command_x": rates["command"] / rates["floor"]}


def memory(counts: list[int], workers: int, scratch: Path) -> None:
    """Peak resident memory of the parent for each count of 8x8 PNGs (links to a few files)."""
    for count in counts:
        tree = scratch / f"tree{count}"
        for c in range(CLASSES):
            (tree / f"class{c}").mkdir(parents=True)
            Image.fromarray(np.full((8, 8, 3), 20 * c, np.uint8)).save(scratch / f"{c}.png")
        for i in range(count):
            (tree / f"class{i % CLASSES}" / f"{i}.png").symlink_to(scratch / f"{i % CLASSES}.png")
        words = ["folder", "--source", tree, "--out", scratch / f"out{count}", "--workers", workers]
        command = [sys.executable, "-c", REPORT, *map(str, words)]
        environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        print(f"{count:9,} images: peak {int(done.stderr.split()[-1]) / 1024:.0f} MiB in the parent", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--source", type=Path, help="folder or tar of JPEGs (default: 100 synthetic photos)")
    add("--images", type=int, default=2000, help="images written, repeated where there are fewer (default 2000)")
    add("--workers", type=int, default=len(os.sched_getaffinity(0)), help="processes of both (default: all cores)")
    add("--rounds", type=int, default=3)
    add("--memory", type=int, nargs="+", metavar="COUNT", help="show the parent's memory at these counts instead")
    args = parser.parse_args()
    print(
        f"Python {platform.python_version()}, Pillow {version('pillow')}, numpy {np.__version__}, {os.uname().machine}"
    )
    with tempfile.TemporaryDirectory() as name:
        if args.memory:
            memory(args.memory, args.workers, Path(name))
        else:
            print(json.dumps({key: round(ratio, 3) for key, ratio in compare(args, Path(name)).items()}))


if __name__ == "__main__":
    main()
