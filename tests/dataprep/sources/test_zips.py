"""Zips are read in place, and give what the folder gives; what cannot be read as a zip is refused by name."""

import gzip
import stat
import zipfile
from pathlib import Path

import pytest

from dataprep.images.decoding import open_image
from dataprep.sources.readers import ZipReader
from dataprep.sources.zips import list_zip
from tests.support.dataprep_fixtures import fingerprint, make, nothing_left, put_tree, tree_paths, zip_of

Output = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return put_tree(tmp_path_factory.mktemp("source") / "set", [*tree_paths(), "train/ant/ä ö.png"])


@pytest.fixture(scope="module")
def made(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("data")
    assert make("folder", "--source", tree, "--out", out, "--name", "animals") == 0
    return out / "animals"


@pytest.mark.parametrize(("method", "prefix"), [(zipfile.ZIP_STORED, "set/inner/"), (zipfile.ZIP_DEFLATED, "")])
def test_a_zip_gives_the_same(tree: Path, made: Path, tmp_path: Path, method: int, prefix: str) -> None:
    file = zip_of(tree, tmp_path / "set.any-suffix", method, prefix)
    assert make("folder", "--source", file, "--out", tmp_path, "--name", "animals") == 0
    assert fingerprint(tmp_path / "animals") == fingerprint(made)
    assert not list(tmp_path.glob(".*"))


def test_names_as_other_systems_write_them(tmp_path: Path) -> None:
    file = tmp_path / "odd.zip"
    with zipfile.ZipFile(file, "w") as out:
        windows = zipfile.ZipInfo("a/x")
        windows.filename, windows.create_system = "cats\\1.png", 0
        out.writestr(windows, b"from windows")
        out.writestr("dogs/\xe4.png", b"with the flag of UTF-8")
        out.writestr("empty/", b"")
    data = file.read_bytes()
    flag = data.index(b"dogs/") - 30 + 6
    central = data.rindex(b"dogs/") - 46 + 8
    unflagged = bytearray(data)
    unflagged[flag + 1] = unflagged[central + 1] = 0  # as Info-ZIP writes UTF-8 names
    for content in (data, bytes(unflagged)):
        file.write_bytes(content)
        entries = {entry.path: entry.size for entry in list_zip(file)}
        assert entries == {"cats/1.png": 12, "dogs/\xe4.png": 22}


def put_link(archive: zipfile.ZipFile, name: str, target: str) -> None:
    link = zipfile.ZipInfo(name)
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    archive.writestr(link, target)


def test_links_are_followed(tmp_path: Path, capsys: Output) -> None:
    file = tmp_path / "links.zip"
    with zipfile.ZipFile(file, "w") as out:
        out.writestr("a/one.png", b"the image")
        for name, target in (
            ("b/two.png", "../a/one.png"),
            ("b/three.png", "two.png"),
            ("c", "a"),
            ("a/loop", "."),
            ("b/gone.png", "../../etc/passwd"),
        ):
            put_link(out, name, target)
    entries = {entry.path: entry for entry in list_zip(file)}
    assert set(entries) == {"a/one.png", "b/two.png", "b/three.png", "c/one.png", "b/gone.png"}
    assert len({entries[name].offset for name in ("a/one.png", "b/two.png", "b/three.png", "c/one.png")}) == 1
    assert "left out a/loop: it links to a folder that it lies in" in capsys.readouterr().out
    reader = ZipReader(str(file))
    assert reader.read(entries["c/one.png"]) == b"the image"
    with pytest.raises(OSError, match=r"a link to ../../etc/passwd, which the zip does not hold"):
        reader.read(entries["b/gone.png"])


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("encrypted", "is encrypted"),
        ("method", "compressed by a method"),
        ("cut", "not a complete zip file"),
    ],
)
def test_what_is_refused(name: str, words: str, tmp_path: Path, capsys: Output) -> None:
    file = tmp_path / f"{name}.zip"
    with zipfile.ZipFile(file, "w") as out:
        out.writestr("a/1.png", b"x" * 100, zipfile.ZIP_LZMA if name == "method" else zipfile.ZIP_STORED)
    data = bytearray(file.read_bytes())
    if name == "encrypted":
        data[data.rindex(b"a/1.png") - 46 + 8] |= 1
    file.write_bytes(data[:60] if name == "cut" else data)
    assert make("folder", "--source", file, "--out", tmp_path / "data") == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and words in error and f"{name}.zip" in error
    assert nothing_left(tmp_path / "data", "folder")


def test_a_damaged_member_is_rejected_alone(tree: Path, tmp_path: Path) -> None:
    file = zip_of(tree, tmp_path / "set.zip")
    entries = {entry.path: entry for entry in list_zip(file)}
    damaged = entries["train/bee/3.png"]
    data = bytearray(file.read_bytes())
    start = damaged.offset + 30 + len(damaged.path)
    data[start : start + 40] = b"\xff" * 40
    file.write_bytes(data)
    assert make("folder", "--source", file, "--out", tmp_path, "--max-rejected", 0.5) == 0
    assert "train/bee/3.png" in (tmp_path / "folder/rejected.csv").read_text()
    whole = entries["train/bee/4.png"]
    with open_image(ZipReader(str(file)).read(whole)) as image:
        assert image.size == (12, 12)


@pytest.mark.parametrize("content", [b"7z\xbc\xaf\x27\x1c" + b"x" * 600, b"Rar!\x1a\x07\x01\x00", b"hello", b""])
@pytest.mark.parametrize("dataset", ["folder", "imagenet"])
def test_what_is_no_archive_is_called_so(content: bytes, dataset: str, tmp_path: Path, capsys: Output) -> None:
    file = tmp_path / "photos.bin"
    file.write_bytes(content)
    assert make(dataset, "--source", file, "--out", tmp_path / "data") == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "photos.bin: neither a zip nor a tar" in error and "download" not in error
    file.write_bytes(gzip.compress(content))
    assert make(dataset, "--source", file, "--out", tmp_path / "data") == 2
    assert "photos.bin: neither a zip nor a tar" in capsys.readouterr().err
    assert nothing_left(tmp_path / "data", dataset)
