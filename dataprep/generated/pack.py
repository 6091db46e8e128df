"""Packs groups of generated images into a data folder: images.beton, groups.npz, manifest.json.

Workers encode pieces into files of their own, which are then joined; the folder gets its name when all of it is there.
One piece a worker is in memory, whatever the number of groups.
"""

from pathlib import Path

import numpy as np

from dataprep.console import note, plural
from dataprep.data_folder.checksums import describe
from dataprep.data_folder.manifest import FileRecord, write
from dataprep.data_folder.versions import versions
from dataprep.generated import manifest
from dataprep.generated.encode import Encoded, encode_piece
from dataprep.generated.shard_source import shard_source
from dataprep.generated.source import Ints, Source
from dataprep.images.decoding import Recipe
from dataprep.images.native_size import MAX_RAW_SIDE
from dataprep.progress_meter import ProgressMeter
from dataprep.workers import WorkerPool
from dataprep.writing.part_stream import PartStream
from dataprep.writing.partial_folder import PartialFolder

JPEG_QUALITY = 90
RESERVE = 1.05  # of the estimated bytes must be free


def pack(shards: Path, out: Path, workers: int) -> None:
    """Make the data folder `out`, DATA/NAME, of a folder of shards; leaves alone one that was made of them before.

    Raises ValueError where shards are damaged or `out` holds something else, OSError when the disk is full; then
    nothing is left of it.
    """
    note(pack_source(shard_source(shards), out, workers))


def pack_source(source: Source, out: Path, workers: int) -> str:
    """As `pack`; returns a line that sums up what was made."""
    with PartialFolder(out.parent, out.name) as partial:
        if out.exists():
            return _made_before(out, source)
        _check_space(partial.free_bytes, source, out)
        recipe = _recipe(source.side)
        encoded = _encode(source, recipe, partial.work, workers)
        record, page_size = _join(source, recipe, encoded, partial.result / manifest.BETON)
        _write_groups(source, partial.result / manifest.GROUPS)
        content: manifest.Manifest = {
            "format": manifest.FORMAT,
            "name": out.name,
            "dataset": source.dataset,
            "classes": source.classes,
            "groups": len(source.first),
            "ratios": source.ratios.tolist(),
            "stored_size": source.side,
            "settings": source.settings,
            "source": source.record,
            "writer": {
                "encoding": recipe.encoding,
                "jpeg_quality": recipe.quality or None,
                "page_size": page_size,
            },
            "versions": versions(),
            "files": {manifest.BETON: record, manifest.GROUPS: describe(partial.result / manifest.GROUPS)},
        }
        write(partial.result, content)
        partial.commit()
    return f"{out}: {_holds(source)}, {source.side}x{source.side} {recipe.encoding}, {record['bytes'] / 1e6:.1f} MB"


def _holds(source: Source) -> str:
    pairs = len(np.unique(np.stack([source.first, source.second]), axis=1).T)
    return (
        f"{plural(source.num_images, 'image')} in {plural(len(source.first), 'group')} between "
        f"{plural(pairs, 'pair')} of {source.dataset}"
    )


def _made_before(out: Path, source: Source) -> str:
    """Raises ValueError unless the folder was made of the same groups."""
    made = manifest.read(out)
    same = made["source"] == source.record and made["settings"] == source.settings and made["dataset"] == source.dataset
    if not same or made["groups"] != len(source.first):
        raise ValueError(f"{out} was made of other groups; remove it or choose another name")
    return f"{out}: already made, {_holds(source)}"


def _recipe(side: int) -> Recipe:
    """Small images as they are, others as JPEGs, as data sets are stored."""
    raw = side <= MAX_RAW_SIDE
    return Recipe(side, "raw" if raw else "jpg", 0 if raw else JPEG_QUALITY, "squash")


def _check_space(free: int, source: Source, out: Path) -> None:
    """Raises OSError unless the images fit on the disk twice: in the pieces, and in the beton."""
    pixels = 3 * source.side**2
    needed = 2 * RESERVE * source.num_images * (pixels if source.side <= MAX_RAW_SIDE else pixels // 4)
    if free < needed:
        raise OSError(
            f"{out}: about {needed / 1e6:,.0f} MB are needed but only {free / 1e6:,.0f} MB are free; free some disk "
            "space or choose another folder"
        )


def _encode(source: Source, recipe: Recipe, work: Path, workers: int) -> list[Encoded]:
    """The pieces' images in files in `work`, in order."""
    tasks = ((i, piece, recipe, work / f"piece-{i:06d}") for i, piece in enumerate(source.pieces))
    with (
        WorkerPool(workers, preload="dataprep.generated.encode") as pool,
        ProgressMeter("packed", source.num_images) as meter,
    ):
        encoded = sorted(pool.map(encode_piece, tasks, meter.add), key=lambda each: each.number)
    count = sum(len(each.sizes) for each in encoded)
    assert count == source.num_images, (count, source.num_images)
    return encoded


def _join(source: Source, recipe: Recipe, encoded: list[Encoded], file: Path) -> tuple[FileRecord, int]:
    """One beton of all pieces; its length and sha256, and the bytes of its pages."""
    from dataprep.writing.beton import Samples, write_beton  # FFCV takes seconds to import

    places = len(source.ratios)
    numbers: dict[str, Ints] = {
        "group": np.repeat(np.arange(len(source.first)), places),
        "place": np.tile(np.arange(places), len(source.first)),
    }
    sizes = np.concatenate([each.sizes for each in encoded])
    samples = Samples(sizes=sizes, numbers=numbers, side=source.side, encoding=recipe.encoding)
    return write_beton(file, samples, PartStream(encoded).read), samples.page_size


def _write_groups(source: Source, file: Path) -> None:
    known: dict[str, Ints] = {}
    if source.settings is not None:
        known["seed"] = np.array(source.settings["seed"], np.int64)
    if source.positions is not None:
        known["generator_positions"] = source.positions
    np.savez(file, first=source.first, second=source.second, ratios=source.ratios, **known)  # type: ignore[arg-type]
