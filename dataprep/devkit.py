"""The ILSVRC2012 development kit: which class each validation image belongs to.

Its ground truth holds ILSVRC's own class ids, which are not the numbers of sorted wnids: meta.mat translates.
"""

import io
import re
import tarfile
from pathlib import Path, PurePosixPath

import numpy as np

from dataprep.native_files import DAMAGED

TRUTH, META = "ILSVRC2012_validation_ground_truth.txt", "meta.mat"
ARCHIVE = "ILSVRC2012_devkit_t12.tar.gz"
FOLDERS = ("", "data", "*devkit*", "*devkit*/data")
REMEDY = f"put {ARCHIVE} (or {TRUTH} and {META} from it) there, or sort val/ into folders named by wnid"
_NUMBER = re.compile(r"ILSVRC2012_val_(\d{8})\.")


class GroundTruth:
    """Tells a validation image's wnid from its file name. wnids: of images 1, 2, ... in order."""

    def __init__(self, wnids: list[str], origin: Path) -> None:
        self._wnids, self._origin = wnids, origin

    def wnid(self, name: str) -> str:
        """wnid of ILSVRC2012_val_<number>.JPEG. Raises ValueError for another name or an unknown number."""
        match = _NUMBER.match(name)
        number = int(match[1]) if match else 0
        if not 1 <= number <= len(self._wnids):
            raise ValueError(
                f"val image {name!r}: {self._origin} knows ILSVRC2012_val_00000001.JPEG to "
                f"ILSVRC2012_val_{len(self._wnids):08d}.JPEG only; rename or remove it"
            )
        return self._wnids[number - 1]


def read_ground_truth(source: Path) -> GroundTruth:
    """From the kit's files or its archive below `source`. Raises ValueError when there is none or it is damaged."""
    for pattern in FOLDERS:
        for folder in sorted(source.glob(pattern)) if pattern else [source]:
            truth, meta = folder / TRUTH, _beside(folder)
            if truth.is_file() and meta is not None:
                return _parse(truth.read_bytes(), meta.read_bytes(), truth)
    archive = source / ARCHIVE
    if not archive.is_file():
        raise ValueError(f"--source {source}: val/ is flat and there is no development kit to label it; {REMEDY}")
    found = _from_archive(archive)
    if found.keys() != {TRUTH, META}:
        raise ValueError(f"{archive}: lacks {TRUTH} or {META}; fetch it again")
    return _parse(found[TRUTH], found[META], archive)


def _beside(folder: Path) -> Path | None:
    # Some copies keep the two files in different folders of the kit.
    found = (place / META for place in (folder, folder / "data", folder.parent))
    return next((file for file in found if file.is_file()), None)


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
        raise ValueError(f"{archive}: not a complete archive ({error}); fetch it again") from error
    return found


def _parse(truth: bytes, meta: bytes, origin: Path) -> GroundTruth:
    try:
        ids = [int(word) for word in truth.split()]
        names = _wnids(meta)
        return GroundTruth([names[i] for i in ids], origin)
    except Exception as error:  # scipy raises many things on a damaged .mat file
        raise ValueError(f"{origin}: ground truth and {META} can't be read together ({error!r}); fetch both") from error


def _wnids(meta: bytes) -> dict[int, str]:
    """{ILSVRC2012_ID: wnid} from the bytes of meta.mat."""
    from scipy.io import loadmat

    synsets = np.atleast_1d(loadmat(io.BytesIO(meta), squeeze_me=True)["synsets"])
    return {int(row["ILSVRC2012_ID"]): str(row["WNID"]) for row in synsets}
