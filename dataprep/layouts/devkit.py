"""The ILSVRC2012 development kit: which class each validation image belongs to.

Its ground truth uses ILSVRC's own class ids, which are not the numbers of sorted wnids: meta.mat translates them.
"""

import io
import re
import tarfile
from pathlib import Path, PurePosixPath

import numpy as np

from dataprep.sources.tars import DAMAGED

TRUTH, META = "ILSVRC2012_validation_ground_truth.txt", "meta.mat"
ARCHIVE = "ILSVRC2012_devkit_t12.tar.gz"
FOLDERS = ("", "data", "*devkit*", "*devkit*/data")
REMEDY = f"put {ARCHIVE} (or {TRUTH} and {META} from it) there, or sort val/ into folders named by wnid"
_NUMBER = re.compile(r"ILSVRC2012_val_(\d{8})\.")


class GroundTruth:
    """Looks up the wnid of a validation image. wnids: of images 1, 2, ... in order; origin: the file they are from."""

    def __init__(self, wnids: list[str], origin: Path) -> None:
        self._wnids, self._origin = wnids, origin

    def wnid(self, name: str) -> str:
        """wnid of ILSVRC2012_val_<number>.JPEG. Raises ValueError for another name or an unknown number."""
        match = _NUMBER.match(name)
        number = int(match[1]) if match else 0
        if not 1 <= number <= len(self._wnids):
            raise ValueError(
                f"val image {name!r}: {self._origin} covers ILSVRC2012_val_00000001.JPEG to "
                f"ILSVRC2012_val_{len(self._wnids):08d}.JPEG only; rename or remove it"
            )
        return self._wnids[number - 1]


def read_ground_truth(source: Path) -> GroundTruth:
    """From the kit's files or its archive below `source`. Raises ValueError when it is missing or damaged."""
    for pattern in FOLDERS:
        for folder in sorted(source.glob(pattern)) if pattern else [source]:
            truth, meta = folder / TRUTH, _meta_near(folder)
            if truth.is_file() and meta is not None:
                return _parse(truth.read_bytes(), meta.read_bytes(), truth)
    archive = source / ARCHIVE
    if not archive.is_file():
        raise ValueError(f"--source {source}: val/ is flat and there is no development kit to label it; {REMEDY}")
    found = _from_archive(archive)
    if found.keys() != {TRUTH, META}:
        raise ValueError(f"{archive}: lacks {TRUTH} or {META}; download it again")
    return _parse(found[TRUTH], found[META], archive)


def _meta_near(folder: Path) -> Path | None:
    # Some copies keep the two files in different folders of the kit.
    candidates = (near / META for near in (folder, folder / "data", folder.parent))
    return next((file for file in candidates if file.is_file()), None)


def _from_archive(archive: Path) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(archive, "r:*") as tar:
            for member in tar:
                name = PurePosixPath(member.name).name
                data = tar.extractfile(member) if name in (TRUTH, META) and member.isreg() else None
                if data is not None:
                    found[name] = data.read()
    except DAMAGED as error:
        raise ValueError(f"{archive}: not a complete archive ({error}); download it again") from error
    return found


def _parse(truth: bytes, meta: bytes, origin: Path) -> GroundTruth:
    try:
        ids = [int(word) for word in truth.split()]
        names = _wnids(meta)
        return GroundTruth([names[i] for i in ids], origin)
    except Exception as error:  # scipy raises many things on a damaged .mat file
        raise ValueError(
            f"{origin}: the ground truth and {META} cannot be read together ({error!r}); download both again"
        ) from error


def _wnids(meta: bytes) -> dict[int, str]:
    """{ILSVRC2012_ID: wnid} from the bytes of meta.mat."""
    from scipy.io import loadmat

    synsets = np.atleast_1d(loadmat(io.BytesIO(meta), squeeze_me=True)["synsets"])
    return {int(row["ILSVRC2012_ID"]): str(row["WNID"]) for row in synsets}
