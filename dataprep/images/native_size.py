"""Whether the images of a set are small squares of one size, looked up in their headers."""

from dataprep.console import note, plural
from dataprep.images.decoding import open_image
from dataprep.sources.entries import Entry, Reader
from dataprep.workers import WorkerPool, chunks

MAX_RAW_SIDE = 96  # pixels; images up to this side are stored as they are, uncompressed
SAMPLE = 512  # headers read of each beton's images
NEARLY_ALL = 0.9  # of the images have one small size: the others are more likely strays than the rest photos

Sizes = dict[tuple[int, int], list[str]]  # (width, height): paths of the images that have it


def common_size(train: list[Entry], test: list[Entry], reader: Reader, workers: WorkerPool) -> int:
    """Side in pixels of the square images, or 0 when sampled images differ in size, are not square, or are large.

    train, test: in storage order, which is random, so the first ones are a fair sample; an odd one among the rest
    is resized like the others. Raises ValueError when nearly all are small squares of one size and some are not.
    """
    found: Sizes = {}
    for some in workers.map(image_sizes, ((reader, chunk) for chunk in chunks(train[:SAMPLE] + test[:SAMPLE]))):
        for size, paths in some.items():
            found.setdefault(size, []).extend(paths)
    if not found:
        return 0
    (width, height), paths = max(found.items(), key=lambda item: len(item[1]))
    total = sum(map(len, found.values()))
    small = width == height <= MAX_RAW_SIDE
    if small and len(found) == 1:
        return width
    odd = next(size for size in found if len(found) == 1 or size != (width, height))
    example = f"{min(found[odd])} is {odd[0]}x{odd[1]}"
    if small and len(paths) >= NEARLY_ALL * total:
        raise ValueError(
            f"{plural(total - len(paths), 'image')} of {total} looked at {'is' if total - len(paths) == 1 else 'are'} "
            f"not {width}x{width} like the others ({example}): --image-size {width} makes all as small, "
            f"--image-size 224 stores all as photos; or leave out what does not belong"
        )
    note(f"images are not small squares of one size ({example}); storing them as photos")
    return 0


def image_sizes(reader: Reader, entries: list[Entry]) -> Sizes:
    """Sizes found in headers. Unreadable headers are skipped: encoding will report them."""
    found: Sizes = {}
    for entry in entries:
        try:
            with open_image(reader.read(entry)) as image:
                found.setdefault(image.size, []).append(entry.path)
        except Exception:
            continue
    return found
