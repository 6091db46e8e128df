"""Parquet files as the Hugging Face library exports image sets."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

Row = tuple[bytes | None, str | None, object]  # image file, its name, label


def put_parquet(
    file: Path, rows: list[Row], names: list[str] | None = None, image: str = "image", label: str = "label"
) -> Path:
    """Columns `image` (struct of bytes and path) and `label`; `names` makes it a ClassLabel."""
    file.parent.mkdir(parents=True, exist_ok=True)
    images = pa.array(
        [None if data is None else {"bytes": data, "path": name} for data, name, _ in rows],
        pa.struct({"bytes": pa.binary(), "path": pa.string()}),
    )
    table = pa.table({image: images, label: pa.array([each for *_, each in rows])})
    if names is not None:
        features = {image: {"_type": "Image"}, label: {"names": names, "_type": "ClassLabel"}}
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    pq.write_table(table, file, row_group_size=4)
    return file


def export_tree(tree: Path, out: Path, parts: dict[str, str], shards: int = 2) -> list[str]:
    """A tree of part/class/name as a Hugging Face export; parts: {folder: name of the split}. Returns the classes."""
    classes = sorted({path.name for part in parts for path in (tree / part).iterdir()})
    for part, split in parts.items():
        files = sorted(path for path in (tree / part).rglob("*") if path.is_file())
        rows: list[Row] = [
            (file.read_bytes(), file.name, classes.index(file.relative_to(tree / part).parts[0])) for file in files
        ]
        for shard in range(shards):
            name = f"data/{split}-{shard:05d}-of-{shards:05d}.parquet"
            put_parquet(out / name, rows[shard::shards], classes)
    return classes
