"""Folders of parquet files as the Hugging Face library exports them."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dataprep.data_folder.file_list import read_rows
from tests.support.dataprep_fixtures import fingerprint, make, nothing_left, put_tree, read_manifest, tree_paths
from tests.support.parquet_fixtures import Row, export_tree, put_parquet

Output = pytest.CaptureFixture[str]
PATHS = [f"{part}/{c}/{part}-{c}-{i}.png" for part in ("train", "test") for c in ("ant", "bee") for i in range(6)]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return put_tree(tmp_path_factory.mktemp("source") / "set", PATHS)


def rows_of(tree: Path, part: str, labels: dict[str, object]) -> list[Row]:
    return [(file.read_bytes(), file.name, labels[file.parent.name]) for file in sorted((tree / part).rglob("*.png"))]


@pytest.mark.parametrize(("part", "split"), [("test", "test"), ("validation", "validation")])
def test_an_export_gives_what_the_folders_give(tmp_path: Path, part: str, split: str) -> None:
    tree = put_tree(tmp_path / "source", [path.replace("test/", f"{part}/") for path in PATHS])
    export_tree(tree, tmp_path / "export", {"train": "train", part: split})
    put_tree(tmp_path / "export/.cache", ["x.png"])
    words = ("--out", tmp_path, "--image-size", 12)
    assert make("folder", "--source", tree, "--name", "tree", *words) == 0
    assert make("folder", "--source", tmp_path / "export", "--name", "parquet", *words) == 0
    assert fingerprint(tmp_path / "parquet") == fingerprint(tmp_path / "tree")
    assert (tmp_path / "parquet/files.csv.gz").read_bytes() == (tmp_path / "tree/files.csv.gz").read_bytes()
    assert not list(tmp_path.glob(".*"))
    assert make("folder", "--source", tmp_path / "export", "--name", "parquet", *words) == 0


def test_one_file_without_a_test_split(tree: Path, tmp_path: Path) -> None:
    file = put_parquet(tmp_path / "all.parquet", rows_of(tree, "train", {"ant": "ant", "bee": "bee"}))
    for name, source in (("tree", tree / "train"), ("parquet", file)):
        assert make("folder", "--source", source, "--name", name, "--out", tmp_path, "--test-fraction", 0.25) == 0
    assert fingerprint(tmp_path / "parquet")[0] == fingerprint(tmp_path / "tree")[0]


def test_classes_keep_the_numbers_of_the_export(tree: Path, tmp_path: Path) -> None:
    names = ["wasp, Vespula/Vespa", "bee", "ant"]
    rows = rows_of(tree, "train", {"ant": 2, "bee": 1})
    put_parquet(tmp_path / "export/train.parquet", [*rows, (rows[0][0], "w.png", 0)], names)
    put_parquet(tmp_path / "export/test.parquet", rows_of(tree, "test", {"ant": 2, "bee": 0}), names)
    assert make("folder", "--source", tmp_path / "export", "--out", tmp_path) == 0
    content = read_manifest(tmp_path / "folder")
    assert content["classes"] == names and content["counts"]["train_per_class"] == [1, 6, 6]
    assert "train/wasp, Vespula_Vespa/w.png" in {row[2] for row in read_rows(tmp_path / "folder")}


def test_numbers_alone_nameless_and_unlabelled_images(tree: Path, tmp_path: Path, capsys: Output) -> None:
    rows = [(data, None, label) for data, _, label in rows_of(tree, "train", {"ant": 10, "bee": 2})]
    rows += [(rows[0][0], None, -1), (rows[1][0], None, None)]
    put_parquet(tmp_path / "export/default/train/0000.parquet", rows)
    put_parquet(tmp_path / "export/default/validation/0000.parquet", rows_of(tree, "test", {"ant": 10, "bee": 2}))
    put_parquet(tmp_path / "export/default/test/0000.parquet", rows_of(tree, "test", {"ant": -1, "bee": -1}))
    assert make("folder", "--source", tmp_path / "export", "--out", tmp_path) == 0
    counts = read_manifest(tmp_path / "folder")["counts"]
    assert read_manifest(tmp_path / "folder")["classes"] == ["2", "10"]
    assert counts["train_per_class"] == [6, 6] and counts["unlabelled"] == 2 and counts["test_per_class"] == [6, 6]
    assert "train/10/00000003" in {row[2] for row in read_rows(tmp_path / "folder")}
    assert "test: left out 12 images without a label" in capsys.readouterr().out


def test_a_column_has_to_be_chosen(tree: Path, tmp_path: Path, capsys: Output) -> None:
    table = pq.read_table(put_parquet(tmp_path / "x", rows_of(tree, "train", {"ant": 0, "bee": 1}), label="fine_label"))
    table = table.append_column("coarse_label", pa.array([0, 1] * 6)).append_column("thumb", table["image"])
    (tmp_path / "export").mkdir()
    pq.write_table(table, tmp_path / "export/train.parquet")
    words = ("folder", "--source", tmp_path / "export", "--out", tmp_path)
    assert make(*words) == 2
    assert "--image-column" in capsys.readouterr().err
    assert make(*words, "--image-column", "image") == 2
    error = capsys.readouterr().err
    assert "--label-column" in error and "image, fine_label, coarse_label, thumb" in error
    assert make(*words, "--image-column", "image", "--label-column", "coarse_labels") == 2
    assert "no column 'coarse_labels'" in capsys.readouterr().err
    assert make(*words, "--image-column", "image", "--label-column", "coarse_label") == 0
    assert make(*words, "--image-column", "image", "--label-column", "fine_label") == 2
    assert "since --label-column was coarse_label" in capsys.readouterr().err


def cut(folder: Path) -> None:
    file = folder / "train.parquet"
    file.write_bytes(file.read_bytes()[:-30])


def other_schema(folder: Path) -> None:
    put_parquet(folder / "train-2.parquet", [(b"", "a.png", 0.5)])


def number_without_name(folder: Path) -> None:
    put_parquet(folder / "train.parquet", [(b"x", "a.png", 0), (b"x", "b.png", 2)], ["ant", "bee"])


def paths_alone(folder: Path) -> None:
    pq.write_table(pa.table({"image": ["a.png"], "label": ["ant"]}), folder / "train.parquet")


def unclear_part(folder: Path) -> None:
    put_parquet(folder / "more.parquet", [(b"x", "a.png", 0)])


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (cut, "train.parquet: not a complete parquet file"),
        (other_schema, "train-2.parquet: labels of type double"),
        (number_without_name, "train.parquet: label 2 has no name"),
        (paths_alone, "train.parquet: no column of images"),
        (unclear_part, "more.parquet: it is not clear whether it holds training or test images"),
    ],
)
def test_what_is_refused(tree: Path, tmp_path: Path, damage, words: str, capsys: Output) -> None:
    put_parquet(tmp_path / "export/train.parquet", rows_of(tree, "train", {"ant": 0, "bee": 1}), ["ant", "bee"])
    damage(tmp_path / "export")
    assert make("folder", "--source", tmp_path / "export", "--out", tmp_path / "data") == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and words in error
    assert nothing_left(tmp_path / "data", "folder")


def test_the_columns_are_options_of_parquet_only(tmp_path: Path, capsys: Output) -> None:
    source = put_tree(tmp_path / "source", tree_paths())
    assert make("folder", "--source", source, "--out", tmp_path / "data", "--label-column", "label") == 2
    assert "--label-column" in capsys.readouterr().err
    assert make("digits", "--out", tmp_path / "data", "--image-column", "x") == 2


def test_validation_beside_test_is_kept(tree: Path, tmp_path: Path) -> None:
    for name, part in (("train-0", "train"), ("train-1", "test"), ("validation", "test"), ("test", "test")):
        put_parquet(tmp_path / f"export/{name}.parquet", rows_of(tree, part, {"ant": 0, "bee": 1}), ["ant", "bee"])
    put_parquet(tmp_path / "export/extra.parquet", rows_of(tree, "test", {"ant": 0, "bee": 1}), ["ant", "bee"])
    assert make("folder", "--source", tmp_path / "export", "--out", tmp_path, "--no-extra", "--limit", 5) == 0
    counts = read_manifest(tmp_path / "folder")["counts"]
    assert counts["train_per_class"] == counts["validation_per_class"] == counts["test_per_class"] == [5, 5]
