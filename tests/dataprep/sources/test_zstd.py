"""tar.zst, in one frame or several, gives what the folder gives; a file cut short is named."""

from pathlib import Path

import pytest
import zstandard

from tests.support.dataprep_fixtures import fingerprint, make, nothing_left, pack, put_tree, tree_paths


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return put_tree(tmp_path_factory.mktemp("source") / "set", tree_paths())


def compressed(tree: Path, folder: Path, frames: int) -> Path:
    tar = pack(tree, folder / "plain.tar", "w").read_bytes()
    step = -(-len(tar) // frames)
    compressor = zstandard.ZstdCompressor(write_checksum=True)  # as the command zstd
    pieces = [compressor.compress(tar[start : start + step]) for start in range(0, len(tar), step)]
    skippable = b"\x50\x2a\x4d\x18\x04\x00\x00\x00abcd"  # pzstd begins with one
    file = folder / "set.tar.zst"
    file.write_bytes((skippable if frames > 1 else b"") + b"".join(pieces))
    return file


def test_a_tar_zst_gives_the_same(tree: Path, tmp_path: Path) -> None:
    assert make("folder", "--source", tree, "--out", tmp_path, "--name", "plain") == 0
    for name, frames in (("one", 1), ("many", 3)):
        (tmp_path / f"in-{name}").mkdir()
        file = compressed(tree, tmp_path / f"in-{name}", frames)
        assert make("folder", "--source", file, "--out", tmp_path, "--name", name) == 0
        assert fingerprint(tmp_path / name) == fingerprint(tmp_path / "plain")


@pytest.mark.parametrize(("kept", "words"), [(-1, "ends too early"), (None, "")])
def test_damage_is_named(
    tree: Path, tmp_path: Path, kept: int | None, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = compressed(tree, tmp_path, 1)
    data = bytearray(file.read_bytes())
    if kept is None:
        data[len(data) // 2 : len(data) // 2 + 64] = b"\xff" * 64
    file.write_bytes(data[:kept])
    assert make("folder", "--source", file, "--out", tmp_path / "data") == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "set.tar.zst: its compressed data is damaged" in error and words in error
    assert nothing_left(tmp_path / "data", "folder")
