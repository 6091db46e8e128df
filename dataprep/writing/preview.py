"""preview.png: a few training images of each class as they are stored, over the class's name."""

import io
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from ffcv.fields.rgb_image import IMAGE_MODES
from ffcv.reader import Reader
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

MAX_CLASSES = 60  # of more, this many, evenly spread
_ROW = 12  # images in a row, of all classes in it
_GAP, _MARGIN, _HEAD, _TEXT = 4, 16, 36, 30  # pixels: between images, around all, of the title, of a name
_FONT_SIZE = 13
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@dataclass(frozen=True)
class Grid:
    """Where images are drawn: `columns` of classes, each with a row of `per_class` squares of `side` pixels."""

    columns: int
    per_class: int
    side: int = 84

    @staticmethod
    def of(classes: int, largest: int) -> "Grid":
        """Few classes are shown with more images each, up to the `largest` class's; every grid is about as wide."""
        columns = 1 if classes <= 4 else 2 if classes <= 12 else 3
        per_class = max(min(_ROW // columns, largest), 2)  # a name needs the width of two
        return Grid(columns=_ROW // per_class, per_class=per_class)

    @property
    def width(self) -> int:
        """Of a class."""
        return self.per_class * (self.side + _GAP) + _MARGIN

    def tile(self, place: int, image: int) -> tuple[int, int]:
        """Left and top of an image of the class in this place."""
        row, column = divmod(place, self.columns)
        return (
            _MARGIN + column * self.width + image * (self.side + _GAP),
            _HEAD + row * (self.side + _TEXT),
        )

    def size(self, classes: int) -> tuple[int, int]:
        """Width and height of it all."""
        rows = -(-classes // self.columns)
        return _MARGIN + self.columns * self.width, _HEAD + rows * (self.side + _TEXT) + _GAP


def write_preview(folder: Path, classes: list[str], name: str) -> None:
    """Draw train.beton of a folder into its preview.png. Raises OSError when the disk is full."""
    draw_preview(folder / "train.beton", classes, name).save(folder / "preview.png")


def draw_preview(beton: Path, classes: list[str], name: str) -> Image.Image:
    """The first images of each class in the beton, whose order is random; images without a label come last."""
    reader = Reader(str(beton))
    labels = reader.metadata["f1"].astype(np.int64)
    shown = np.unique(np.linspace(0, len(classes) - 1, MAX_CLASSES).round().astype(int))
    order = [*map(int, shown), *([-1] if (labels < 0).any() else [])]
    grid, font = Grid.of(len(order), int(np.unique(labels, return_counts=True)[1].max())), _font()
    canvas = Image.new("RGB", grid.size(len(order)), "white")
    draw = ImageDraw.Draw(canvas)
    part = f", {len(shown)} of them shown" if len(shown) < len(classes) else ""
    title = f"{name}: {len(labels):,} training images, {len(classes):,} classes{part}"
    draw.text((_MARGIN, 10), _fitting(title, font, canvas.width - 2 * _MARGIN), "black", font)
    for place, label in enumerate(order):
        positions = np.flatnonzero(labels == label)
        for column, image in enumerate(_stored(reader, beton, positions[: grid.per_class])):
            canvas.paste(_scaled(image, grid.side), grid.tile(place, column))
        x, y = grid.tile(place, 0)
        of = "without a label" if label < 0 else classes[label]
        text = _fitting(f"{of} ({len(positions):,})", font, grid.width - _MARGIN)
        draw.text((x, y + grid.side + 4), text, "black", font)
    return canvas


def _stored(reader: Reader, beton: Path, positions: NDArray[np.int64]) -> list[Image.Image]:
    images = []
    with beton.open("rb") as file:
        for position in positions:
            start, size = (int(reader.alloc_table[position][key]) for key in ("ptr", "size"))
            file.seek(start)
            data, row = file.read(size), reader.metadata["f0"][position]
            raw = row["mode"] == IMAGE_MODES["raw"]
            side = int(row["width"]), int(row["height"])
            images.append(Image.frombytes("RGB", side, data) if raw else Image.open(io.BytesIO(data)).convert("RGB"))
    return images


def _scaled(image: Image.Image, side: int) -> Image.Image:
    """Small images keep sharp pixels."""
    smooth = Image.Resampling.BILINEAR if image.width > side else Image.Resampling.NEAREST
    return image.resize((side, side), smooth)


def _font() -> Font:
    """DejaVu, which comes with matplotlib and knows more alphabets than Pillow's own."""
    spec = find_spec("matplotlib")
    file = Path(spec.origin).parent / "mpl-data/fonts/ttf/DejaVuSans.ttf" if spec and spec.origin else None
    return ImageFont.truetype(file, _FONT_SIZE) if file and file.is_file() else ImageFont.load_default(_FONT_SIZE)


def _fitting(text: str, font: Font, width: int) -> str:
    """The text, without its middle where it is wider than `width` pixels: counts stand at the end."""
    text = text.encode("utf-8", "backslashreplace").decode().replace("\n", " ")
    kept = len(text)
    short = text
    while font.getlength(short) > width and kept > 2:
        kept -= max(kept // 20, 1)
        short = f"{text[: kept * 2 // 3]}…{text[-(kept // 3) :]}"
    return short
