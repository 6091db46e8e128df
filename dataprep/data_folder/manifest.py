"""manifest.json: what a data folder holds and what it was made from. Its fields are a contract with training."""

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NotRequired, TypedDict, cast

from dataprep.data_folder.shapes import misfits

FORMAT = 1
BETONS = {"train.beton", "test.beton"}  # that every folder has


class FileRecord(TypedDict):
    bytes: int
    sha256: str


class SplitRecord(TypedDict):
    """size: number of labelled positions. source: of a split that the user brought, the name of the file."""

    size: int
    sha256: str
    source: NotRequired[str]


class Counts(TypedDict):
    """Numbers of images. unlabelled: those of train with label -1, which train_per_class leaves out.

    validation: of validation.beton, in folders that have one.
    """

    train: int
    test: int
    unlabelled: int
    train_per_class: list[int]
    test_per_class: list[int]
    rejected: int
    validation: NotRequired[int]
    validation_per_class: NotRequired[list[int]]


class SourceRecord(TypedDict):
    """What the set was made from. identity: its fingerprint, where it has few files.

    classes to extra: the request's, None where not requested; labels_from is a sha256.
    native_size: as in Listing. test_fraction: None where the source has test images.
    """

    kind: str
    name: str
    identity: str | None
    dataset: str
    classes: NotRequired[int | None]
    class_names: NotRequired[list[str] | None]
    limit: NotRequired[int | None]
    limit_seed: NotRequired[int | None]
    labels_from: NotRequired[str | None]
    image_column: NotRequired[str | None]
    label_column: NotRequired[str | None]
    extra: NotRequired[bool]
    native_size: int | None
    test_fraction: float | None


class WriterRecord(TypedDict):
    """How images were stored; resize and order describe it in words."""

    encoding: str
    jpeg_quality: int | None
    page_size: int
    train_resize: NotRequired[str | None]
    resize: str
    order: str


class Manifest(TypedDict):
    """Sizes are sides of squares in pixels; mean and std are per channel in [0,1], of the training images.

    files_sha256: per beton, of the list of files that went in. betons: by file name. splits: by name.
    contents: of contents.npz; file_list: of files.csv.gz; folders made before there were these lack them.
    sha256: of everything else.
    """

    format: int
    name: str
    classes: list[str]
    counts: Counts
    image_size: int
    stored_size: int
    crop_padding: int
    flip: bool
    mean: list[float]
    std: list[float]
    source: SourceRecord
    writer: WriterRecord
    versions: dict[str, str]
    files_sha256: dict[str, str]
    betons: dict[str, FileRecord]
    contents: NotRequired[FileRecord]
    file_list: NotRequired[FileRecord]
    splits: dict[str, SplitRecord]
    sha256: NotRequired[str]


def read(folder: Path) -> Manifest:
    """The manifest of a finished data folder. Raises ValueError when it is missing, damaged or not what was written."""
    content = read_fields(folder, FORMAT, lambda found: misfits(found, Manifest) or _missing_betons(found))
    return cast(Manifest, content)


def _missing_betons(content: Any) -> list[str]:
    return [f"betons.{name} is missing" for name in BETONS - content["betons"].keys()]


def read_fields(folder: Path, form: int | str, faults_of: Callable[[Any], list[str]]) -> dict[str, Any]:
    """manifest.json of the format `form`, its own sha256 right, without faults. Raises ValueError."""
    file = folder / "manifest.json"
    remedy = f"restore it, or remove {folder} or choose another --out or --name"
    try:
        content = json.loads(file.read_text())
    except FileNotFoundError as error:
        raise ValueError(f"{folder} exists but contains no manifest.json; {remedy}") from error
    except ValueError as error:
        raise ValueError(f"{file} is damaged; {remedy}") from error
    if not isinstance(content, dict) or content.get("format") != form:
        raise ValueError(f"{file} does not have format {form}; {remedy}")
    if faults := faults_of(content):
        more = f" and {len(faults) - 3} more" if len(faults) > 3 else ""
        raise ValueError(f"{file} is damaged ({', '.join(faults[:3])}{more}); {remedy}")
    if content.get("sha256", _sha256(content)) != _sha256(content):
        raise ValueError(f"{file} is not what was written: something in it has been changed since; {remedy}")
    return content


def write(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Write or replace manifest.json in one step, with its own sha256 in it."""
    temporary = folder / ".manifest.json.partial"
    temporary.write_text(json.dumps({**manifest, "sha256": _sha256(manifest)}, indent=1) + "\n")
    temporary.replace(folder / "manifest.json")


def _sha256(manifest: Mapping[str, Any]) -> str:
    """Of all other fields, as the shortest JSON with sorted keys."""
    others = {key: value for key, value in manifest.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(others, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
