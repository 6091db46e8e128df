"""Whether the images of a set are small squares of one size, looked up in their headers."""

from dataprep.console import note
from dataprep.images.decoding import open_image
from dataprep.sources.entries import Entry, Reader
from dataprep.workers import WorkerPool, chunks

MAX_RAW_SIDE = 96  # pixels; images up to this side are stored as they are, uncompressed
SAMPLE = 512  # headers read of each beton's images


def common_size(train: list[Entry], test: list[Entry], reader: Reader, workers: WorkerPool) -> int:
    """Side in pixels of the square images, or 0 when sampled images differ in size, are not square, or are large.

    train, test: in storage order, which is random, so the first ones are a fair sample; an odd one among the rest
    is resized like the others.
    """
    found: dict[tuple[int, int], str] = {}
    sample = train[:SAMPLE] + test[:SAMPLE]
    for some in workers.map(image_sizes, ((reader, chunk) for chunk in chunks(sample))):
        found = {**some, **found}
        odd = [size for size in found if size[0] != size[1] or size[0] > MAX_RAW_SIDE]
        if odd or len(found) > 1:
            width, height = odd[0] if odd else list(found)[-1]
            example = found[width, height]
            note(f"images are not small squares of one size ({example} is {width}x{height}); storing them as photos")
            return 0
    return next(iter(found))[0] if found else 0


def image_sizes(reader: Reader, entries: list[Entry]) -> dict[tuple[int, int], str]:
    """Sizes (width, height) found in headers, each with the path of one image; stops at the second size.

    Unreadable headers are skipped: encoding will report them.
    """
    found: dict[tuple[int, int], str] = {}
    for entry in entries:
        try:
            with open_image(reader.read(entry)) as image:
                found.setdefault(image.size, entry.path)
        except Exception:
            continue
        if len(found) > 1:
            break
    return found
