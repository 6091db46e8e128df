"""Packing: what a beton of groups holds, read back through FFCV, and that nothing half-made is left."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from ffcv.fields.decoders import IntDecoder, SimpleRGBImageDecoder
from ffcv.loader import Loader, OrderOption

from dataprep.generated import encode, manifest, shards
from dataprep.generated.pack import pack
from dataprep.generated.pairs import class_pairs
from tests.support.blends import PLACES, SETTINGS, blends, write_shards, write_tree
from tests.support.dataprep_fixtures import make

GROUPS = 50


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return blends(GROUPS)


@pytest.fixture(scope="module")
def source(images: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shards(tmp_path_factory.mktemp("shards") / "shards", images)


@pytest.fixture(scope="module")
def packed(source: Path) -> Path:
    """DATA/digits-csm, made by the command."""
    assert make("groups", "--source", source, "--of", "digits", "--out", source.parent / "data") == 0
    return source.parent / "data" / "digits-csm"


def load(beton: Path) -> dict[str, np.ndarray]:
    """All fields of a beton in the order of the file, through FFCV's loader."""
    pipelines = {
        "image": [SimpleRGBImageDecoder()],
        **{name: [IntDecoder()] for name in ("group", "place", "index")},
    }
    loader = Loader(str(beton), 32, 1, order=OrderOption.SEQUENTIAL, drop_last=False, pipelines=pipelines)
    batches = [[part.copy() for part in batch] for batch in loader]
    fields = (np.concatenate(parts) for parts in zip(*batches, strict=True))
    return {name: field if name == "image" else field[:, 0] for name, field in zip(pipelines, fields, strict=True)}


def test_ffcv_reads_back_image_group_place_index(packed: Path, images: np.ndarray) -> None:
    read = load(packed / manifest.BETON)
    assert np.array_equal(read["image"], images.reshape(-1, 32, 32, 3))
    assert read["group"].tolist() == np.repeat(np.arange(GROUPS), PLACES).tolist()
    assert read["place"].tolist() == [0, 1, 2, 3] * GROUPS
    assert read["index"].tolist() == list(range(GROUPS * PLACES))


def test_groups_and_manifest_say_what_made_them(packed: Path) -> None:
    with np.load(packed / manifest.GROUPS) as groups:
        pairs = class_pairs(10)
        assert groups["first"].tolist() == [*pairs[:, 0], *pairs[:5, 0]]
        assert groups["second"].tolist() == [*pairs[:, 1], *pairs[:5, 1]]
        assert groups["ratios"].tolist() == SETTINGS["ratios"] and groups["seed"] == 7
        assert groups["generator_positions"].tolist() == [1, 4, 9]
    content = manifest.read(packed)
    assert content["settings"] == {**SETTINGS, "groups": GROUPS}
    assert (content["dataset"], content["groups"], content["source"]["kind"]) == ("digits", GROUPS, "shards")


def test_the_same_shards_make_the_same_bytes(source: Path, packed: Path, tmp_path: Path) -> None:
    moved = shutil.copytree(source, tmp_path / "shards")
    pack(moved, tmp_path / "digits-csm", 2)
    for file in packed.iterdir():
        assert (tmp_path / "digits-csm" / file.name).read_bytes() == file.read_bytes(), file.name


def test_what_was_made_before_is_left_alone(
    source: Path, packed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (packed / "manifest.json").stat().st_mtime_ns
    assert make("groups", "--source", source, "--out", packed.parent, "--name", packed.name) == 0
    assert "already made, 200 images in 50 groups between 45 pairs of digits" in capsys.readouterr().out
    assert (packed / "manifest.json").stat().st_mtime_ns == before
    other = write_shards(tmp_path / "other", blends(3))
    assert make("groups", "--source", other, "--out", packed.parent, "--name", packed.name) == 2
    assert "was made of other groups; remove it or choose another name" in capsys.readouterr().err


def test_a_part_of_the_groups_can_be_packed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_shards(tmp_path / "shards", blends(20))
    (folder / "shard-000001.npz").unlink()
    pack(folder, tmp_path / "part-csm", 1)
    assert "holds 16 of 20 groups" in capsys.readouterr().out
    assert manifest.read(tmp_path / "part-csm")["groups"] == 16


def test_large_images_become_jpegs(tmp_path: Path) -> None:
    images = np.repeat(np.repeat(blends(3), 4, 2), 4, 3)
    folder = write_shards(tmp_path / "shards", images, {**SETTINGS, "side": 128})
    assert make("groups", "--source", folder, "--name", "large", "--out", tmp_path) == 0
    assert manifest.read(tmp_path / "large")["writer"]["encoding"] == "jpg"
    read = load(tmp_path / "large" / manifest.BETON)["image"].astype(int)
    assert np.abs(read - images.reshape(-1, 128, 128, 3)).mean() < 3
    assert make("groups", "--name", "large", "--out", tmp_path, "--verify") == 0


@pytest.mark.parametrize("damage", ["flipped", "shape"])
def test_a_damaged_shard_leaves_nothing(
    source: Path, tmp_path: Path, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shutil.copytree(source, tmp_path / "shards")
    file = shards.shard_file(folder, 2)
    if damage == "flipped":
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        file.write_bytes(content)
    else:
        shards.write_shard(folder, 2, blends(16)[:, :3], 32)
    out = tmp_path / "data"
    assert make("groups", "--source", folder, "--name", "digits-csm", "--out", out) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "shard-000002.npz" in error and not list(out.iterdir())


def test_a_killed_packing_leaves_no_folder_and_the_next_begins_anew(source: Path, packed: Path, tmp_path: Path) -> None:
    """It is killed between encoding and joining, when all pieces are on disk."""
    folder = shutil.copytree(source, tmp_path / "shards")
    script = (
        "import sys, time; from pathlib import Path; from dataprep.generated import pack\n"
        "def wait(*_):\n    print('encoded', flush=True); time.sleep(60)\n"
        "if __name__ == '__main__':\n    pack._join = wait; pack.pack(Path(sys.argv[1]), Path(sys.argv[2]), 1)"
    )
    out = tmp_path / "data" / "digits-csm"
    command = [sys.executable, "-c", script, str(folder), str(out)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=dict(os.environ)) as process:
        assert process.stdout is not None
        while "encoded" not in process.stdout.readline():
            assert process.poll() is None
        process.send_signal(signal.SIGKILL)
    partial = out.parent / ".digits-csm.partial"
    assert not out.exists() and len(list((partial / "work").iterdir())) == 4
    time.sleep(0.1)
    pack(folder, out, 1)
    assert not partial.exists() and (out / "manifest.json").read_bytes() == (packed / "manifest.json").read_bytes()


def test_a_full_disk_leaves_nothing(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(1, 1, 1000))  # type: ignore[attr-defined]
    out = tmp_path / "data"
    assert make("groups", "--source", source, "--name", "digits-csm", "--out", out) == 1
    assert "MB are needed but only 0 MB are free" in capsys.readouterr().err and not list(out.iterdir())


def test_one_piece_is_in_memory(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The images of a piece are encoded one after the other; only its shard is read at once."""
    from dataprep.generated import shard_source

    read: list[Path] = []
    monkeypatch.setattr(shard_source, "read_shard", lambda file: read.append(file) or shards.read_shard(file))
    pieces = shard_source.shard_source(source).pieces
    first = pieces[0].images()
    assert read == []
    next(first)
    assert read == [shards.shard_file(source, 0)] and len(pieces) == 4
    made = encode.encode_piece(3, pieces[3], encode.Recipe(32, "raw", 0, "squash"), tmp_path / "piece")
    assert made.number == 3 and made.sizes.tolist() == [3072] * 8 and made.file.stat().st_size == 8 * 3072


def test_verify_says_yes_and_finds_a_flipped_byte(
    packed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = shutil.copytree(packed, tmp_path / "digits-csm")
    words = ("groups", "--of", "digits", "--out", tmp_path, "--verify")
    assert make(*words) == 0
    assert "digits-csm: verified, 200 images in 50 groups" in capsys.readouterr().out
    for name, position in ((manifest.BETON, 8 << 20), (manifest.GROUPS, 300)):
        data = np.memmap(copy / name, np.uint8, "r+")
        data[position] ^= 1
        data.flush()
        assert make(*words) == 2
        assert f"{name}: sha256 differs from the manifest's" in capsys.readouterr().err
        data[position] ^= 1
        data.flush()
    content = json.loads((copy / "manifest.json").read_text())
    (copy / "manifest.json").write_text(json.dumps({**content, "dataset": "cifar10"}))
    assert make(*words) == 2 and "something in it has been changed" in capsys.readouterr().err


def test_numbers_that_are_not_in_order_are_found(packed: Path, tmp_path: Path) -> None:
    from dataprep.data_folder.checksums import describe
    from dataprep.data_folder.manifest import write
    from dataprep.generated.verify import verify

    copy = shutil.copytree(packed, tmp_path / "digits-csm")
    with np.load(copy / manifest.GROUPS) as parts:
        np.savez(copy / manifest.GROUPS, **{**parts, "second": parts["first"]})
    content = manifest.read(copy)
    content["files"][manifest.GROUPS] = describe(copy / manifest.GROUPS)
    write(copy, content)
    with pytest.raises(ValueError, match=r"groups.npz names classes that are not there; remove it and pack again"):
        verify(copy, 1)


def test_an_own_tree_is_packed(data: Path, tmp_path: Path, images: np.ndarray) -> None:
    """Place 0 shows the second class; a pair named the other way round is turned; groups are balanced over pairs."""
    tree = {"0_1/10": images[0], "0_1/9": images[45], "3_2/a": images[17][::-1]}
    source = write_tree(tmp_path / "tree", tree)
    (source / "0_1" / ".DS_Store").touch()
    (tmp_path / "digits").symlink_to(data / "digits")
    assert make("groups", "--source", source, "--of", "digits", "--out", tmp_path) == 0
    read = load(tmp_path / "digits-csm" / manifest.BETON)
    assert np.array_equal(read["image"].reshape(3, PLACES, 32, 32, 3), [images[45], images[17], images[0]])
    with np.load(tmp_path / "digits-csm" / manifest.GROUPS) as groups:
        assert groups["first"].tolist() == [0, 2, 0] and groups["second"].tolist() == [1, 3, 1]
        assert groups["ratios"].tolist() == SETTINGS["ratios"]
        assert "seed" not in groups and "generator_positions" not in groups  # nobody said
    assert manifest.read(tmp_path / "digits-csm")["settings"] is None
    assert make("groups", "--of", "digits", "--out", tmp_path, "--verify") == 0
