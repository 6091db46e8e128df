"""--labels-from: a list of files with their labels, over a folder or an archive of any shape."""

from pathlib import Path

import pytest

from dataprep.data_folder.file_list import read_rows
from tests.support.dataprep_fixtures import fingerprint, make, nothing_left, pack, put_tree, read_manifest

Output = pytest.CaptureFixture[str]
NAMES = [f"photos/{i:03d}.png" for i in range(24)]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return put_tree(tmp_path_factory.mktemp("listed") / "source", NAMES)


def listed(folder: Path, lines: list[str]) -> Path:
    file = folder / "labels.csv"
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file


def label(i: int) -> str:
    return ["ant", "bee", "cow, brown"][i % 3]


FORMS = {
    "whole paths": [f'{name},"{label(i)}"' for i, name in enumerate(NAMES)],
    "a header, names alone": ["id,breed", *(f'{Path(name).name},"{label(i)}"' for i, name in enumerate(NAMES))],
    "semicolons, no suffix": ["\ufefffile;label", *(f"{Path(name).stem};{label(i)}" for i, name in enumerate(NAMES))],
    "tabs, more columns": ["label\twidth\tfile_name\tx", *(f"{label(i)}\t9\t./{n}\t" for i, n in enumerate(NAMES))],
}


def test_every_form_gives_the_same(source: Path, tmp_path: Path) -> None:
    tar = pack(source, tmp_path / "set.tar.gz", "w:gz")
    for number, (form, lines) in enumerate(FORMS.items()):
        words = ("--labels-from", listed(tmp_path, lines), "--source", tar if number == 1 else source)
        assert make("folder", *words, "--out", tmp_path, "--name", number) == 0, form
        assert fingerprint(tmp_path / str(number)) == fingerprint(tmp_path / "0"), form
    assert read_manifest(tmp_path / "0")["classes"] == ["ant", "bee", "cow, brown"]
    rows = [row for row in read_rows(tmp_path / "0") if row[1] == "train"]
    assert len(rows) == 22 and all(of == label(int(Path(name).stem)) for _, _, name, of in rows)


def test_parts_unlabelled_images_and_numbers(source: Path, tmp_path: Path, capsys: Output) -> None:
    parts = ["train", "Test", "valid", ""]
    lines = ["image,label,split"]
    lines += [f"{name},{10 - i // 4 % 2},{parts[i % 4]}" for i, name in enumerate(NAMES[:16])]
    lines += [f"{name},,train" for name in NAMES[16:20]]
    file = listed(tmp_path, [*lines, f"{NAMES[20]},11,test"])
    words = ("folder", "--labels-from", file, "--source", source, "--out", tmp_path)
    assert make(*words) == 2 and "test class '11' has no training images" in capsys.readouterr().err
    listed(tmp_path, lines)
    assert make(*words) == 0
    counts = read_manifest(tmp_path / "folder")["counts"]
    assert read_manifest(tmp_path / "folder")["classes"] == ["9", "10"]
    assert counts["train_per_class"] == [4, 4] and counts["unlabelled"] == 4
    assert counts["test_per_class"] == counts["validation_per_class"] == [2, 2]
    assert "ignored 4 images that" in capsys.readouterr().out
    assert make(*words) == 0 and "already made" in capsys.readouterr().out
    listed(tmp_path, [lines[0], lines[1].replace(",10,", ",9,"), *lines[2:]])
    assert make(*words) == 2 and "since --labels-from was another list" in capsys.readouterr().err


def test_folders_say_the_part_where_the_list_does_not(tmp_path: Path) -> None:
    names = [f"{part}/{part}{i}.png" for part in ("train", "test") for i in range(6)]
    source = put_tree(tmp_path / "source", names)
    file = listed(tmp_path, ["image_id,label", *(f"{Path(name).stem},{i % 2}" for i, name in enumerate(names))])
    assert make("folder", "--labels-from", file, "--source", source, "--out", tmp_path) == 0
    counts = read_manifest(tmp_path / "folder")["counts"]
    assert counts["train_per_class"] == counts["test_per_class"] == [3, 3]


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["000,ant", "001,bee", "missing.png,bee", "gone,ant"], "2 files that it lists are not in"),
        (["0000.png,ant", "001,bee"], "0000.png"),
        (["000,ant", "001,bee", "photos/000.png,ant"], "line 3: 'photos/000.png' was listed before, in line 1"),
        (["000,ant", "001"], "line 2: 1 column, not 2"),
        (["000,ant,train", "001,bee,tset"], "line 2: 'tset' is the name of no part"),
        (["a,b,c,d,e", "000,ant,,,"], "name the columns"),
        (["000,ant", "001,ant"], "there is only one label, 'ant'"),
        ([], "is empty"),
    ],
)
def test_what_is_refused(source: Path, tmp_path: Path, lines: list[str], words: str, capsys: Output) -> None:
    out = ("--out", tmp_path / "data")
    assert make("folder", "--labels-from", listed(tmp_path, lines), "--source", source, *out) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and words in error and "labels.csv" in error
    assert nothing_left(tmp_path / "data", "folder")


def test_names_that_fit_two_files(tmp_path: Path, capsys: Output) -> None:
    source = put_tree(tmp_path / "source", ["a/1.png", "b/1.png", "b/2.png"])
    file = listed(tmp_path, ["1.png,x", "2.png,y"])
    assert make("folder", "--labels-from", file, "--source", source, "--out", tmp_path / "data") == 2
    assert "line 1: '1.png' could be a/1.png or b/1.png" in capsys.readouterr().err


def test_the_list_must_exist(source: Path, tmp_path: Path, capsys: Output) -> None:
    assert make("folder", "--labels-from", tmp_path / "no.csv", "--source", source, "--out", tmp_path / "data") == 2
    assert "--labels-from" in capsys.readouterr().err
    assert make("digits", "--labels-from", __file__, "--out", tmp_path / "data") == 2
    assert "option of folder only" in capsys.readouterr().err
