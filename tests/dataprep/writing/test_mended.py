"""Content decides: what was mended or replaced is read again, alone; what was touched is not taken for another."""

import os
import shutil
from collections import Counter
from pathlib import Path

import pytest

from dataprep.images.decoding import Recipe
from dataprep.sources.contents import doubtful
from dataprep.sources.directories import size_and_stamp
from dataprep.sources.entries import Entry
from dataprep.sources.readers import FileReader
from dataprep.writing.parts import encode_part, mend_part, read_part
from tests.support.counting_reader import CountingReader, decodes
from tests.support.dataprep_fixtures import fingerprint, make, pack, put_tree
from tests.support.encoding_runs import COUNT, LENGTH, EncodingRun

Output = pytest.CaptureFixture[str]
BROKEN = "class2/7.png"


def replace_keeping_times(file: Path, data: bytes) -> None:
    status = file.stat()
    assert len(data) == status.st_size
    file.write_bytes(data)
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.fixture
def broken(run: EncodingRun, tmp_path: Path) -> tuple[EncodingRun, bytes]:
    """A run over a copy of the tree with one broken image, of the right size, and that image's bytes before."""
    run = EncodingRun(shutil.copytree(run.tree, tmp_path / "tree"), run.out, run.log)
    whole = (run.tree / BROKEN).read_bytes()
    (run.tree / BROKEN).write_bytes(bytes(len(whole)))
    assert make(*run.words("--max-rejected", 0)) == 2
    run.forget_decodes()
    return run, whole


def test_a_mended_file_is_read_again_alone(
    broken: tuple[EncodingRun, bytes], undisturbed: tuple, capsys: Output
) -> None:
    run, whole = broken
    (run.tree / BROKEN).write_bytes(whole)
    unfinished = COUNT - len(run.finished()) * LENGTH
    assert make(*run.words("--max-rejected", 0)) == 0
    assert run.decoded().count(BROKEN) == 1 and len(run.decoded()) == unfinished + 1
    assert fingerprint(run.out / "folder") == undisturbed
    assert "1 image that an earlier run has read may have changed since" in capsys.readouterr().out


def test_rehash_finds_what_times_hide(broken: tuple[EncodingRun, bytes], undisturbed: tuple) -> None:
    run, whole = broken
    replace_keeping_times(run.tree / BROKEN, whole)
    assert make(*run.words("--max-rejected", 0)) == 2, "size and time are trusted unless told otherwise"
    assert not run.log.exists()
    assert make(*run.words("--max-rejected", 0, "--rehash")) == 0
    assert len(run.decoded()) == len(set(run.decoded())) == COUNT
    assert fingerprint(run.out / "folder") == undisturbed


@pytest.mark.parametrize("changes", [[], ["c"], ["c", "e"], ["b", "c"]])
def test_a_mended_part_is_as_if_made_anew(tmp_path: Path, changes: list[str]) -> None:
    """c and e are broken and f is missing before; where the part holds what has changed, all of it is made anew."""
    put_tree(tmp_path, [f"{name}.png" for name in "abcdeg"])
    bad = {name: (tmp_path / f"{name}.png").read_bytes() for name in "ce"}
    for name in bad:
        (tmp_path / f"{name}.png").write_bytes(b"bad")
    log = tmp_path / "log"
    reader, recipe = CountingReader(FileReader(f"{tmp_path}/"), str(log)), Recipe(12, "raw", 0, "squash")
    encode_part(reader, recipe, entries_in(tmp_path), tmp_path / "part")
    for name in changes:
        data = bad.get(name) or (tmp_path / "a.png").read_bytes()
        (tmp_path / f"{name}.png").write_bytes(data)
    log.unlink()
    entries = entries_in(tmp_path)
    old = read_part(tmp_path / "part")
    assert old and len(old.rejects) == 3
    mend_part(reader, recipe, entries, tmp_path / "part", doubtful(entries, old.records, rehash=False))
    assert "b" in changes or decodes(log) == Counter(f"{name}.png" for name in ["f", *changes])
    encode_part(reader, recipe, entries, tmp_path / "fresh")
    assert (tmp_path / "part").read_bytes() == (tmp_path / "fresh").read_bytes()


def entries_in(root: Path) -> list[Entry]:
    """a to g, of which f is missing."""
    names = [f"{name}.png" for name in "abcdefg"]
    facts = [size_and_stamp(f"{root}/{name}") for name in names]
    return [Entry(name, 1, size, 0, 0, stamp) for name, (size, stamp) in zip(names, facts, strict=True)]


def swap(root: Path) -> None:
    """Two images of equal size and name change places; times are new."""
    one, two = root / "class0/1.png", root / "class3/1.png"
    first, second = one.read_bytes(), two.read_bytes()
    longer = max(len(first), len(second))
    one.write_bytes(second.ljust(longer, b"\0"))
    two.write_bytes(first.ljust(longer, b"\0"))


@pytest.fixture
def made(run: EncodingRun, tmp_path: Path) -> tuple[Path, tuple[object, ...]]:
    paths = [f"class{c}/{i}.png" for c in range(4) for i in range(30)]  # more files than a fingerprint covers
    tree = put_tree(tmp_path / "tree", paths)
    for name in ("class0/1.png", "class3/1.png"):
        data = (tree / name).read_bytes()
        (tree / name).write_bytes(data.ljust(600, b"\0"))
    words = ("folder", "--source", tree, "--out", tmp_path / "data")
    assert make(*words) == 0
    run.forget_decodes()
    return tree, words


def test_a_touched_file_is_the_same(made: tuple, run: EncodingRun, capsys: Output) -> None:
    tree, words = made
    os.utime(tree / "class0/1.png")
    assert make(*words) == 0
    assert run.decoded() == ["class0/1.png"]
    assert "the content of 1 file was compared" in capsys.readouterr().out
    assert make(*words) == 0 and len(run.decoded()) == 1, "its new time is known now"
    assert make("folder", "--out", tree.parent / "data", "--verify") == 0


def test_replaced_files_are_not_already_made(made: tuple, tmp_path: Path, capsys: Output) -> None:
    tree, words = made
    swap(tree)
    assert make(*words) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "from another content of 2 files: class0/1.png, class3/1.png;" in error


def test_rehash_of_a_finished_folder(made: tuple, run: EncodingRun, capsys: Output) -> None:
    tree, words = made
    assert make(*words, "--rehash") == 0
    assert "the content of 120 files was compared" in capsys.readouterr().out and len(run.decoded()) == 120
    data = (tree / "class0/1.png").read_bytes()
    replace_keeping_times(tree / "class0/1.png", data[:-1] + b"\1")
    assert make(*words) == 0, "size and time are trusted unless told otherwise"
    assert make(*words, "--rehash") == 2
    assert "from another content of 1 file: class0/1.png;" in capsys.readouterr().err


def test_a_tar_packed_anew_is_the_same(tmp_path: Path, capsys: Output) -> None:
    tree = put_tree(tmp_path / "tree", [f"class{c}/{i}.png" for c in range(3) for i in range(10)])
    words = ("folder", "--source", tmp_path / "set.tar.gz", "--out", tmp_path / "data")
    pack(tree, tmp_path / "set.tar.gz", "w:gz")
    assert make(*words) == 0 and make(*words) == 0
    capsys.readouterr()
    pack(tree, tmp_path / "set.tar.gz", "w:gz")
    assert make(*words) == 0
    assert "the content of 30 files was compared" in capsys.readouterr().out
    (tree / "class0/1.png").write_bytes((tree / "class0/2.png").read_bytes()[: (tree / "class0/1.png").stat().st_size])
    pack(tree, tmp_path / "set.tar.gz", "w:gz")
    assert make(*words) == 2


def test_rehash_needs_a_source(tmp_path: Path, capsys: Output) -> None:
    assert make("cifar10", "--out", tmp_path, "--rehash") == 2
    assert "--rehash: there is no --source" in capsys.readouterr().err
