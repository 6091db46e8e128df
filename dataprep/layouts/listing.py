"""What every reader of a native layout takes and returns."""

from dataclasses import dataclass, field
from pathlib import Path

from dataprep.sources.entries import Entry, Reader


@dataclass(frozen=True)
class LabelOptions:
    """Where the labels of the user's own images are.

    labels_from: a list of files with labels. image_column, label_column: of parquet files; None: found out.
    """

    labels_from: Path | None = None
    image_column: str | None = None
    label_column: str | None = None


@dataclass(frozen=True)
class ListingRequest:
    """What a reader of a native layout is given.

    source: the directory or archive to read (None: the set comes with a library). work: a folder for temporary files.
    test_fraction: share of images to hold out where the source has no test images. download: missing files may be
    downloaded into `source`. classes: only the first so many classes (None: all). extra: include the images that
    a set offers beyond its training split. labels: where the labels of the user's own images are.
    """

    source: Path | None
    work: Path
    test_fraction: float
    download: bool = False
    classes: int | None = None
    extra: bool = True
    labels: LabelOptions = LabelOptions()

    def source_path(self) -> Path:
        """`source` of a set that is read from files."""
        assert self.source is not None
        return self.source


@dataclass
class Listing:
    """The images of a set, with the reader that opens them.

    classes: names, in the order of the class numbers. train: may hold unlabelled entries (label -1).
    validation: labelled images that the source keeps apart from both, to choose by.
    has_test_split: the source names its test images itself, so `test_fraction` was not used.
    native_size: side in pixels shared by all images (square), 0 if they have none in common, None if unknown.
    notes: what the user should know about the source, one line each. remark: what the last line should say again, of
    what the set's parts are; '' for nothing.
    """

    classes: list[str]
    train: list[Entry]
    test: list[Entry]
    reader: Reader
    has_test_split: bool
    native_size: int | None = None
    validation: list[Entry] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    remark: str = ""

    def parts(self) -> dict[str, list[Entry]]:
        """The images of each beton, by its name; a set without validation images has two."""
        validation = {"validation": self.validation} if self.validation else {}
        return {"train": self.train, "test": self.test, **validation}
