"""A contact sheet: stored images beside the weak and strong views that training makes of them, for people to look at.

    python pipeline/augment_sheet.py --config configs/digits.yaml --sheet sheet.png
    python pipeline/augment_sheet.py --set dataset=photos augment.space=google augment.operations=2 --images 12

One row an image: as evaluation would see it, then its views at the first visits, exactly the pixels of training with
the same options and seed.
"""

import argparse
import sys
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from pipeline import config as configuration
from pipeline.augment import kernels
from pipeline.config.options import Config
from pipeline.data.batches import augmentation
from pipeline.data.beton_reader import BetonReader, Ints, Pixels
from pipeline.data.dataset import Dataset, open_dataset
from pipeline.data.picture import GAP, cell_side, grid
from pipeline.randomness import UNLABELLED, permutation

CAPTION = 16  # pixels


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code: 2 for a user's mistake, said in one line."""
    given = _parser().parse_args(arguments)
    try:
        config = configuration.load(given.config, given.set)
        dataset = open_dataset(config)
        which = permutation(dataset.num_train, config.seed)[: given.images]
        sheet(cells(config, dataset, which, given.visits)).save(given.sheet)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{given.sheet}: {len(which)} images of {dataset.folder}, {given.visits} visits")
    return 0


def cells(config: Config, dataset: Dataset, which: Ints, visits: int) -> Pixels:
    """uint8 [images, 1 + 2 visits, S, S, 3]: central crop, weak views, strong views of the images at ``which``."""
    size, how = dataset.image_size, augmentation(dataset, config.augment)

    def make(decoded: Pixels, indices: Ints) -> Pixels:
        out = np.empty((1 + 2 * visits, len(indices), size, size, 3), np.uint8)
        kernels.center_crop(decoded, out[0])
        for visit in range(visits):
            views = out[1 + visit], out[1 + visits + visit]
            at = np.full(len(indices), visit, np.int64)
            kernels.weak_and_strong_views(decoded, indices, at, config.seed, UNLABELLED, how, *views)
        return out.swapaxes(0, 1)

    return next(BetonReader(str(dataset.train_beton), len(which), 1, make).read([which]))


def sheet(images: Pixels) -> Image.Image:
    """The cells of uint8 [rows, columns, S, S, 3] as one picture with a caption over each kind of view."""
    columns, size = images.shape[1:3]
    picture = grid(images, top=CAPTION)
    cell = cell_side(size)
    draw = ImageDraw.Draw(picture)
    for caption, column in (("stored", 0), ("weak", 1), ("strong", 1 + columns // 2)):
        draw.text((GAP + column * cell, 3), caption, fill="white")
    return picture


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", help="YAML file of options, as of train.py")
    parser.add_argument("--set", nargs="+", action="extend", default=[], metavar="a.b=c", help="options over the file")
    parser.add_argument("--sheet", default="sheet.png", help="the picture to write (sheet.png)")
    parser.add_argument("--images", type=_count, default=8, help="rows (8)")
    parser.add_argument("--visits", type=_count, default=4, help="visits, each a weak and a strong view (4)")
    return parser


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


if __name__ == "__main__":
    sys.exit(main())
