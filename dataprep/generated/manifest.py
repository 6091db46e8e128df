"""manifest.json of a data folder of groups: what it holds and what made it. Its fields are a contract with training."""

from pathlib import Path
from typing import TypedDict, cast

from dataprep.data_folder import manifest
from dataprep.data_folder.manifest import FileRecord
from dataprep.data_folder.shapes import misfits
from dataprep.generated.shards import Settings

FORMAT = "groups 1"  # no data set of its own: other than a data set's
BETON, GROUPS = "images.beton", "groups.npz"


class SourceRecord(TypedDict):
    """kind: shards or folder; name: of the folder; identity: sha256 of the names and lengths of its files.

    size: width and height of the images read, which were resized to squares of the stored size where they differ.
    """

    kind: str
    name: str
    identity: str
    size: list[int]


class WriterRecord(TypedDict):
    """How images were stored."""

    encoding: str
    jpeg_quality: int | None
    page_size: int


class Manifest(TypedDict):
    """dataset: the data set between whose classes the groups lie. ratios: share of class a at each of the places.

    settings: of the generator and its sampler, None for images from elsewhere. files: by name.
    sha256: of everything else.
    """

    format: str
    name: str
    dataset: str
    classes: list[str]
    groups: int
    ratios: list[float]
    stored_size: int
    settings: Settings | None
    source: SourceRecord
    writer: WriterRecord
    versions: dict[str, str]
    files: dict[str, FileRecord]


def read(folder: Path) -> Manifest:
    """The manifest of a packed folder of groups. Raises ValueError when it is missing, damaged or of something else."""
    return cast(Manifest, manifest.read_fields(folder, FORMAT, _faults))


def _faults(content: object) -> list[str]:
    faults = misfits(content, Manifest)
    if faults:
        return faults
    files = cast(Manifest, content)["files"]
    return [f"files.{name} is missing" for name in (BETON, GROUPS) if name not in files]
