"""Reads images and labels from parquet files, as the Hugging Face library exports them."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

MAGIC = b"PAR1"
LABEL_NAMES = ("label", "labels", "class")  # columns that need not be named
_BATCH = 64  # rows in memory at a time: whole row groups of photos can take gigabytes


class Row(NamedTuple):
    """data: an image file; b'' where the row has none. name: of that file, None if unknown. label: None: unlabelled."""

    data: bytes
    name: str | None
    label: int | str | None


@dataclass(frozen=True)
class Table:
    """A parquet file whose columns are known. class_names: of integer labels; None where the file names none."""

    file: Path
    image: str
    label: str
    class_names: tuple[str, ...] | None

    def rows(self) -> Iterator[Row]:
        """All rows in order. Raises ValueError when the file is damaged, or a label has no name."""
        pyarrow, parquet = _library(self.file)
        try:
            for batch in parquet.ParquetFile(self.file).iter_batches(_BATCH, columns=[self.image, self.label]):
                images, labels = batch.column(self.image).to_pylist(), batch.column(self.label).to_pylist()
                for image, label in zip(images, labels, strict=True):
                    yield self._row(image, label)
        except (pyarrow.ArrowException, OSError) as error:
            raise _damaged(self.file, error) from error

    def _row(self, image: Any, label: Any) -> Row:
        fields = image if isinstance(image, dict) else {"bytes": image}
        path = fields.get("path")
        name = path.replace("\\", "/").rpartition("/")[2] if path else None
        if label is None or label == -1:
            return Row(fields["bytes"] or b"", name, None)
        if self.class_names is not None and not (isinstance(label, str) or 0 <= label < len(self.class_names)):
            raise ValueError(f"{self.file}: label {label} has no name; it names {len(self.class_names)} classes")
        return Row(fields["bytes"] or b"", name, label)


def is_parquet(file: Path) -> bool:
    """Whether the file begins as parquet does."""
    with file.open("rb") as handle:
        return handle.read(4) == MAGIC


def open_table(file: Path, image: str | None, label: str | None) -> Table:
    """The file's columns: those named `image` and `label`, or the only ones that can be meant.

    Raises ValueError when the file is damaged, or the columns are not clear.
    """
    pyarrow, parquet = _library(file)
    try:
        schema = parquet.ParquetFile(file).schema_arrow
    except (pyarrow.ArrowException, OSError) as error:
        raise _damaged(file, error) from error
    for option, name in (("--image-column", image), ("--label-column", label)):
        if name is not None and name not in schema.names:
            raise ValueError(f"{option}: {file} has no column {name!r}; it has {', '.join(schema.names)}")
    known = _named_classes(schema)
    image = image or _only(file, "image", [field.name for field in schema if _holds_images(field.type)], schema)
    named = [name for name in LABEL_NAMES if name in schema.names]
    label = label or _only(file, "label", named or list(known), schema)
    _check_types(file, schema, image, label)
    return Table(file=file, image=image, label=label, class_names=known.get(label))


def _only(file: Path, what: str, candidates: list[str], schema: Any) -> str:
    if len(candidates) == 1:
        return candidates[0]
    found = f"several columns of {what}s" if candidates else f"no column of {what}s"
    raise ValueError(f"{file}: {found}; name one with --{what}-column (its columns are {', '.join(schema.names)})")


def _holds_images(kind: Any) -> bool:
    """Whether a column is binary, or a struct with a binary field 'bytes'."""
    from pyarrow import types

    if types.is_struct(kind):
        index = kind.get_field_index("bytes")
        return index >= 0 and _holds_images(kind.field(index).type)
    return types.is_binary(kind) or types.is_large_binary(kind)


def _check_types(file: Path, schema: Any, image: str, label: str) -> None:
    from pyarrow import types

    if not _holds_images(schema.field(image).type):
        raise ValueError(f"{file}: column {image} is of type {schema.field(image).type}, not bytes of image files")
    kind = schema.field(label).type
    kind = kind.value_type if types.is_dictionary(kind) else kind
    if not (types.is_integer(kind) or types.is_string(kind) or types.is_large_string(kind)):
        raise ValueError(f"{file}: labels of type {kind}, neither numbers of classes nor names; choose --label-column")


def _named_classes(schema: Any) -> dict[str, tuple[str, ...]]:
    """{column: names of its classes}, from what the Hugging Face library notes in the file."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        return {name: tuple(map(str, of["names"])) for name, of in features.items() if of.get("_type") == "ClassLabel"}
    except (KeyError, TypeError, AttributeError, ValueError):
        return {}


def _library(file: Path) -> tuple[Any, Any]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise ValueError(f"{file}: reading it needs the package pyarrow; pip install pyarrow") from error
    return pyarrow, parquet


def _damaged(file: Path, error: Exception) -> ValueError:
    return ValueError(f"{file}: not a complete parquet file ({' '.join(str(error).split())}); download it again")
