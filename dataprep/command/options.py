"""The parsed command line, checked as far as possible without reading the source."""

from dataclasses import dataclass
from pathlib import Path

from dataprep.data_folder.split_files import SplitRequest
from dataprep.layouts.listing import LabelOptions
from dataprep.layouts.subsets import SubsetRequest
from dataprep.writing.storage import StorageRequest


@dataclass(frozen=True)
class GroupOptions:
    """What the user asked for of groups of generated images. source: shards, or a folder of PNG files.

    of: name of the data set between whose classes they lie; None: as the shards say. The others as in BuildOptions.
    """

    name: str
    source: Path | None
    of: str | None
    out: Path
    workers: int
    verify: bool

    @property
    def folder(self) -> Path:
        """The data folder to make."""
        return self.out / self.name


@dataclass(frozen=True)
class BuildOptions:
    """What the user asked for, with defaults filled in that depend on the data set.

    dataset: a name in the catalog. name: of the result, OUT/NAME. source: None for a set that comes with a library.
    workers: number of processes. max_rejected: share of unreadable images allowed. download: missing files may be
    downloaded. verify: only check a finished folder. rehash: compare contents, whatever sizes and times say. dry_run:
    only say what would be made. preview: draw preview.png. subset: the part of the set that is used. labels: where the
    labels of the user's own images are. flip_given: --flip or --no-flip was.
    """

    dataset: str
    name: str
    source: Path | None
    out: Path
    workers: int
    max_rejected: float
    test_fraction: float
    classes: int | None
    extra: bool
    download: bool
    verify: bool
    rehash: bool
    dry_run: bool
    preview: bool
    subset: SubsetRequest
    labels: LabelOptions
    splits: SplitRequest
    storage: StorageRequest
    flip_given: bool

    @property
    def folder(self) -> Path:
        """The data folder to make."""
        return self.out / self.name
