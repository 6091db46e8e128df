"""Every kind of odd image people have: as torchvision's loader gives it, or refused with a reason."""

import csv
import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torchvision.datasets.folder import pil_loader
from torchvision.transforms import CenterCrop, Compose, Resize

from dataprep.images.decoding import Recipe, decode
from dataprep.sources.entries import Entry
from dataprep.sources.path_hashes import beton_order
from tests.support.dataprep_fixtures import make, pixels, read_manifest, read_raw

SIDE = 64
ROTATED = 0x0112  # the EXIF tag of orientation


def photo(seed: str, size: tuple[int, int] = (90, 70), mode: str = "RGB") -> Image.Image:
    return Image.fromarray(pixels(seed, size)).resize(size).convert(mode)


def deep(file: Path) -> None:
    values = np.random.RandomState(0).randint(0, 1 << 16, (70, 90)).astype(np.uint16)
    Image.fromarray(values).save(file)


def dark(file: Path) -> None:
    """16 bits that 8 would hold: nothing is clipped."""
    Image.fromarray(np.random.RandomState(0).randint(0, 256, (70, 90)).astype(np.uint16)).save(file)


def palette(file: Path, **options: object) -> None:
    photo(file.name).quantize(32).save(file, **options)


def turned(file: Path) -> None:
    exif = Image.Exif()
    exif[ROTATED] = 6
    photo(file.name).save(file, exif=exif)


def animated(file: Path) -> None:
    first, *others = (photo(f"{file.name}{i}") for i in range(3))
    first.save(file, "GIF", save_all=True, append_images=others)


def truncated(file: Path) -> None:
    photo(file.name, (300, 300)).save(file)
    file.write_bytes(file.read_bytes()[:6000])


def bomb(file: Path) -> None:
    """A PNG that says it is 20,000 pixels high and wide, and holds one."""
    chunks = [b"IHDR" + struct.pack(">IIBBBBB", 20_000, 20_000, 8, 2, 0, 0, 0), b"IDAT" + zlib.compress(bytes(4))]
    framed = [struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in chunks]
    file.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(framed))


GOOD: dict[str, Callable[[Path], object]] = {
    "plain.jpg": lambda file: photo(file.name).save(file),
    "tall.png": lambda file: photo(file.name, (33, 150)).save(file),
    "fits.png": lambda file: photo(file.name, (SIDE, SIDE)).save(file),
    "cmyk.jpg": lambda file: photo(file.name, mode="CMYK").save(file),
    "dark.png": dark,
    "palette.png": palette,
    "palette-transparent.png": lambda file: palette(file, transparency=3),
    "palette-alphas.png": lambda file: palette(file, transparency=bytes(range(0, 256, 8))),
    "alpha.png": lambda file: photo(file.name, mode="RGBA").save(file),
    "grey.jpg": lambda file: photo(file.name, mode="L").save(file),
    "grey-alpha.png": lambda file: photo(file.name, mode="LA").save(file),
    "bits.png": lambda file: photo(file.name, mode="1").save(file),
    "turned.jpg": turned,
    "gif.JPEG": lambda file: photo(file.name).save(file, "GIF"),
    "animated.JPEG": animated,
    "one.png": lambda file: photo(file.name, (1, 1)).save(file),
    "wide.png": lambda file: photo(file.name, (20_000, 40)).save(file),
}
BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "truncated.jpg": (truncated, "truncated"),
    "empty.jpg": (lambda file: file.write_bytes(b""), "empty file"),
    "text.jpg": (lambda file: file.write_text("no image at all " * 9), "not an image"),
    "bomb.png": (bomb, "DecompressionBombError"),
    "gone.jpg": (lambda file: file.symlink_to("nowhere"), "FileNotFoundError"),
}
DEEP = "deep.png"  # 16 bits of grey: torchvision's loader makes it nearly white
STRIP = "strip.png"  # 1 pixel high: fine to squash, but a square cut from it would need 328 million pixels


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("source")
    for i, part in enumerate(("train/a", "train/b", "test/a", "test/b")):
        folder = root / part
        folder.mkdir(parents=True)
        for name, put in [*GOOD.items(), *((name, put) for name, (put, _) in BAD.items())]:
            put(folder / f"{i}-{name}")
        deep(folder / f"{i}-{DEEP}")
        photo(STRIP + part, (80_000, 1)).save(folder / f"{i}-{STRIP}")
    return root


def expected(source: Path, part: str, rejected: set[str], transform: Callable) -> list[np.ndarray]:
    paths = [file.relative_to(source).as_posix() for file in (source / part).rglob("*.*")]
    kept = beton_order(Entry(path, 0, 0, 0) for path in paths if path not in rejected)
    return [np.asarray(transform(pil_loader(str(source / entry.path)))) for entry in kept]


@pytest.mark.parametrize("resize", ["squash", "crop"])
def test_all_of_them(source: Path, tmp_path: Path, resize: str) -> None:
    sizes = ("--image-size", 56, "--stored-size", SIDE, "--resize", resize)
    assert make("folder", "--source", source, "--out", tmp_path, *sizes, "--max-rejected", 0.5, "--workers", 2) == 0
    with (tmp_path / "folder/rejected.csv").open(newline="") as file:
        reasons = {row["path"]: row["reason"] for row in csv.DictReader(file)}
    known = {name: words for name, (_, words) in BAD.items()} | {STRIP: "too thin to crop a square from"}
    known[DEEP] = "grey values from 10 to 65535, which 8 bits do not hold and clipping would lose; convert it to 8 bits"
    for path, why in reasons.items():
        assert known[path.split("-", 1)[1]] in why
    squashed = 2 if resize == "squash" else 0
    assert len(reasons) == 4 * len(known) - squashed == read_manifest(tmp_path / "folder")["counts"]["rejected"]
    crop = Compose([Resize(SIDE), CenterCrop(SIDE)])
    transforms = {"train": Resize((SIDE, SIDE)) if resize == "squash" else crop, "test": crop}
    for part, transform in transforms.items():
        images = read_raw(tmp_path / f"folder/{part}.beton")[0]
        np.testing.assert_array_equal(images, expected(source, part, set(reasons), transform))
    assert read_manifest(tmp_path / "folder")["writer"]["train_resize"] == resize


def test_torchvision_refuses_the_same(source: Path) -> None:
    for name in BAD:
        with pytest.raises((OSError, Image.DecompressionBombError)):
            pil_loader(str(source / f"train/a/0-{name}"))


def test_the_way_of_resizing_is_part_of_the_set(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("folder", "--source", source, "--out", tmp_path, "--image-size", 56, "--max-rejected", 0.5)
    assert make(*words) == 0
    assert make(*words, "--resize", "crop") == 2
    assert "train_resize is squash, not crop" in capsys.readouterr().err


RAW = Recipe(size=4, encoding="raw", quality=0, resize="squash")


@pytest.mark.parametrize(
    ("kind", "suffix"), [("<u2", "png"), ("<u2", "tiff"), (">u2", "tiff"), ("<i4", "tiff"), ("<f4", "tiff")]
)
def test_deep_grey_images_are_taken_where_nothing_is_lost(kind: str, suffix: str) -> None:
    """Values from 0 to 255 are what they are; others are refused with their range, and none is scaled or clipped."""
    values = np.arange(16).reshape(4, 4) * 17
    taken = np.asarray(decode(encoded(values.astype(kind), suffix), RAW))
    np.testing.assert_array_equal(taken, np.repeat(values[..., None], 3, axis=2))
    with pytest.raises(ValueError, match=r"^grey values from 1 to 256, which 8 bits do not hold"):
        decode(encoded((values + 1).astype(kind), suffix), RAW)


def test_fractions_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^grey values from 0 to 1, which 8 bits do not hold"):
        decode(encoded(np.linspace(0, 1, 16, dtype=np.float32).reshape(4, 4), "tiff"), RAW)


def encoded(values: np.ndarray, suffix: str) -> bytes:
    out = io.BytesIO()
    Image.fromarray(values).save(out, suffix)
    return out.getvalue()


def test_a_folder_of_grey_images(tmp_path: Path) -> None:
    """8 bits, with alpha and black and white: three equal channels, and statistics to match."""
    for i, mode in enumerate(["L", "LA", "1", "L"] * 2):
        for part in ("train", "test"):
            file = tmp_path / f"grey/{part}/{'ab'[i % 2]}/{i}.{'jpg' if i % 4 == 3 else 'png'}"
            file.parent.mkdir(parents=True, exist_ok=True)
            photo(f"{part}{i}", (12, 12), mode).save(file)
    assert make("folder", "--source", tmp_path / "grey", "--out", tmp_path) == 0
    content = read_manifest(tmp_path / "folder")
    for part in ("train", "test"):
        images = read_raw(tmp_path / f"folder/{part}.beton")[0]
        assert images.shape == (8, 12, 12, 3) and (images == images[..., :1]).all()
        np.testing.assert_array_equal(images, expected(tmp_path / "grey", part, set(), lambda image: image))
    assert len(set(content["mean"])) == len(set(content["std"])) == 1 and content["std"][0] > 0.1
