"""Weak + strong pairs of views a second: our loader, the peer's (semilearn, peer.py) and FFCV's own operations.

    python benchmarks/loader.py [--data data/cifar10] [--photos imagenet_100_images.tar] [--rounds 3] [--seconds 4]

32x32, batches of 448 pairs, three RandAugment operations and Cutout on both sides: our training loader as it is (order,
decoding, both views, hand-over; it also reads 64 labelled images a batch, which are not counted) beside the peer's
data set and DataLoader of unlabelled images, on the same images; "float32" also normalises them on the same cores, so
that both put out the same; the floor is FFCV's own flip and translation of two views, without RandAugment.
224x224, from JPEG: our loader (256x256 JPEGs in a beton) beside the peer's (torchvision's ImageFolder and Pillow) on
the original files and on files shrunk as in the beton; FFCV's decoder is a single view, decoded and cropped.
Every contender is a process bound to one core, then to two, with as many workers; they take turns, figures are medians.
The last line is one JSON object, of one core: {"uint8_x": ours over the peer's, "float32_x": the same at equal output,
"ffcv_x": ours (uint8) over FFCV's floor, "jpeg224_x": ours over the peer's on the original files}.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path

import ours
import peer
from contender import Contender
from PIL import Image
from writing import gather, repeat

LABELLED, RATIO = 64, 7
PHOTOS, PHOTO_LABELLED = 600, 8
Turn = tuple[str, Contender, dict[str, object]]  # what, who, how to ask for its rate


def existing(folder: Path) -> list[str]:
    """The settings that choose a finished data folder, with the first of its splits."""
    manifest = json.loads((folder / "manifest.json").read_text())
    labels, _, seed = next(iter(sorted(manifest["splits"]))).rpartition("-seed")
    return [f"data={folder.parent}", f"dataset={folder.name}", f"labels={labels}", f"seed={seed}"]


def small_images(stack: ExitStack, cores: list[int], settings: list[str], beton: Path, images: Path) -> list[Turn]:
    """The contenders at 32x32."""
    mine = stack.enter_context(Contender("loader_side.py", cores=cores))
    if not images.exists():
        mine.ask("dump", beton=str(beton), out=str(images))
    mine.ask("open_ours", settings=[*settings, f"batch.labelled={LABELLED}", f"batch.ratio={RATIO}"])
    mine.ask("open_floor", beton=str(beton), batch=LABELLED * RATIO)
    usb = stack.enter_context(Contender("peer_loader.py", peer.python(), cores=cores))
    usb.ask("open_cifar", images=str(images), batch=LABELLED * RATIO)
    named = [(name, mine, {"name": name}) for name in ("uint8", "float32", "floor")]
    return [*named, ("peer", usb, {})]  # type: ignore[list-item]


def photos(
    stack: ExitStack, cores: list[int], settings: list[str], beton: Path, folders: dict[str, Path]
) -> list[Turn]:
    """The contenders at 224x224."""
    mine = stack.enter_context(Contender("loader_side.py", cores=cores))
    batch = PHOTO_LABELLED * RATIO
    mine.ask("open_ours", settings=[*settings, f"batch.labelled={PHOTO_LABELLED}", f"batch.ratio={RATIO}"])
    mine.ask("open_decoder", beton=str(beton), batch=batch, size=224)
    turns: list[Turn] = [("ours", mine, {"name": "uint8"}), ("decoder, 1 view", mine, {"name": "decoder"})]
    for name, folder in folders.items():
        usb = stack.enter_context(Contender("peer_loader.py", peer.python(), cores=cores))
        usb.ask("open_imagenet", folder=str(folder), batch=batch, classes=ours.CLASSES)
        turns.append((f"peer, {name}", usb, {}))
    return turns


def make_photos(source: Path | None, scratch: Path) -> tuple[list[str], dict[str, Path]]:
    """Settings of a data folder of photos, and the same photos as files for the peer: originals and shrunk."""
    folders = {name: scratch / name for name in ("originals", "shrunk")}
    tree = folders["originals"] / "imagenet/train"
    repeat(gather(source, scratch / "files", 100), tree, PHOTOS)
    settings = ours.make_data(tree, scratch / "photos", "--image-size", "224", "--stored-size", "256")
    for file in tree.rglob("*.*"):
        small = folders["shrunk"] / "imagenet/train" / file.relative_to(tree).with_suffix(".jpg")
        small.parent.mkdir(parents=True, exist_ok=True)
        with Image.open(file) as image:
            image.convert("RGB").resize((256, 256), Image.Resampling.BILINEAR).save(small, quality=90)
    for folder in folders.values():
        (folder / "imagenet/val").symlink_to(folder / "imagenet/train")
    return settings, folders


def medians(turns: list[Turn], rounds: int, seconds: float, title: str) -> dict[str, float]:
    rates: dict[str, list[float]] = {what: [] for what, _, _ in turns}
    for _ in range(rounds):
        for what, child, options in turns:
            rates[what].append(child.ask("rate", seconds=seconds, **options))
    print(f"{title}, pairs/s:")
    for what, values in rates.items():
        print(f"  {what:16} {statistics.median(values):9,.0f}   ({', '.join(f'{value:,.0f}' for value in values)})")
    sys.stdout.flush()
    return {what: statistics.median(values) for what, values in rates.items()}


def compare(args: argparse.Namespace, scratch: Path) -> dict[str, float]:
    available = sorted(os.sched_getaffinity(0))
    if args.data:
        settings, beton = existing(args.data), args.data / "train.beton"
    else:
        settings = ours.make_data(ours.write_images(scratch / "source", 500, 32), scratch / "data")
        beton = scratch / "data" / ours.NAME / "train.beton"
    photo_settings, folders = make_photos(args.photos, scratch)
    photo_beton = scratch / "photos" / ours.NAME / "train.beton"
    found = {}
    for count in [n for n in (1, 2) if n <= len(available)][::-1]:
        for size in (32, 224):
            with ExitStack() as stack:
                if size == 32:
                    turns = small_images(stack, available[:count], settings, beton, scratch / "images.npz")
                else:
                    turns = photos(stack, available[:count], photo_settings, photo_beton, folders)
                found[size] = medians(turns, args.rounds, args.seconds, f"{size}x{size}, {count} core(s)")
    small, large = found[32], found[224]  # of one core: the last
    return {
        "uint8_x": small["uint8"] / small["peer"],
        "float32_x": small["float32"] / small["peer"],
        "ffcv_x": small["uint8"] / small["floor"],
        "jpeg224_x": large["ours"] / large["peer, originals"],
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--data", type=Path, help="finished folder of 32x32 images, DATA/NAME (default: 5,000 made here)")
    add("--photos", type=Path, help="folder or tar of JPEGs (default: 100 synthetic photos)")
    add("--rounds", type=int, default=3)
    add("--seconds", type=float, default=4, help="of each contender in each round (default 4)")
    args = parser.parse_args()
    try:
        peer.python()
    except ValueError as error:
        print(f"loader.py: error: {error}", file=sys.stderr)
        return 2
    versions = ", ".join(f"{name} {version(name)}" for name in ("torch", "ffcv", "numba", "numpy", "pillow"))
    print(f"Python {platform.python_version()}, {versions}")
    with tempfile.TemporaryDirectory() as name:
        print(json.dumps({key: round(ratio, 2) for key, ratio in compare(args, Path(name)).items()}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
