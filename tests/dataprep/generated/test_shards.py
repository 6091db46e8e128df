"""Shards: what was written is read back, and what is not whole is seen."""

import json
from pathlib import Path

import numpy as np
import pytest

from dataprep.generated import shards
from dataprep.generated.pairs import class_pairs, even_ratios
from tests.support.blends import SETTINGS


def some_images(groups: int, seed: int = 0) -> shards.Images:
    return np.random.default_rng(seed).integers(0, 256, (groups, 4, 8, 8, 3), np.uint8)


def test_pairs_are_in_lexicographic_order_and_b_stands_first() -> None:
    assert class_pairs(4).tolist() == [[0, 1], [0, 2], [0, 3], [1, 2], [1, 3], [2, 3]]
    assert even_ratios(8)[0] == 0 and even_ratios(8)[-1] == 1 and np.allclose(np.diff(even_ratios(8)), 1 / 7)


def test_groups_are_read_in_order_whatever_the_order_of_writing(tmp_path: Path) -> None:
    images = some_images(7)
    shards.write_shard(tmp_path, 1, images[3:6], 3)
    shards.write_shard(tmp_path, 2, images[6:], 6)
    shards.write_shard(tmp_path, 0, images[:3], 0)
    read = list(shards.read_groups(tmp_path))
    assert [number for number, _ in read] == list(range(7))
    assert np.array_equal(np.stack([group for _, group in read]), images)
    assert shards.existing(tmp_path) == {0, 1, 2}


@pytest.mark.parametrize("damage", ["cut", "empty", "other"])
def test_a_shard_that_is_not_whole_does_not_exist(tmp_path: Path, damage: str) -> None:
    for number in range(2):
        shards.write_shard(tmp_path, number, some_images(2), 2 * number)
    file = shards.shard_file(tmp_path, 1)
    content = file.read_bytes()
    file.write_bytes({"cut": content[:-30], "empty": b"", "other": b"text"}[damage])
    assert shards.existing(tmp_path) == {0}
    with pytest.raises(ValueError, match=r"shard-000001.npz is damaged; remove it and generate again"):
        list(shards.read_groups(tmp_path))


def test_a_flipped_byte_of_an_image_is_seen_on_reading(tmp_path: Path) -> None:
    shards.write_shard(tmp_path, 0, some_images(2), 0)
    file = shards.shard_file(tmp_path, 0)
    content = bytearray(file.read_bytes())
    content[900] ^= 1
    file.write_bytes(content)
    with pytest.raises(ValueError, match=r"shard-000000.npz is damaged .*CRC.*; remove it and generate again"):
        list(shards.read_groups(tmp_path))


def test_missing_groups_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds no shards"):
        list(shards.read_groups(tmp_path))
    shards.write_shard(tmp_path, 0, some_images(2), 0)
    shards.write_shard(tmp_path, 2, some_images(2), 4)
    with pytest.raises(ValueError, match="the groups from 2 to 3 are missing"):
        list(shards.read_groups(tmp_path))


def test_nothing_is_left_of_a_shard_that_could_not_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(OSError, match="No space left"):
        shards.write_shard(tmp_path, 0, some_images(1), 0)
    assert list(tmp_path.iterdir()) == []


def test_settings_are_written_once_and_another_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    shards.write_settings(folder, SETTINGS)
    before = (folder / "settings.json").read_bytes()
    moved = {**SETTINGS["generator"], "path": "elsewhere"}
    shards.write_settings(folder, {**SETTINGS, "versions": {"torch": "other"}, "generator": moved})  # type: ignore[typeddict-item]
    assert (folder / "settings.json").read_bytes() == before and shards.read_settings(folder) == SETTINGS
    with pytest.raises(ValueError, match=r"other settings: sampler.steps is 18, not 20; choose another folder"):
        shards.write_settings(folder, {**SETTINGS, "sampler": {**SETTINGS["sampler"], "steps": 20}})
    (folder / "settings.json").write_text(json.dumps({**SETTINGS, "seed": "one"}))
    with pytest.raises(ValueError, match=r"settings.json is damaged \(seed is 'one'\)"):
        shards.read_settings(folder)
    (folder / "settings.json").unlink()
    with pytest.raises(ValueError, match=r"settings.json: No such file or directory; name a folder that"):
        shards.read_settings(folder)


def test_positions_are_remembered(tmp_path: Path) -> None:
    assert shards.read_positions(tmp_path) is None
    shards.write_positions(tmp_path, np.array([3, 5, 8]))
    found = shards.read_positions(tmp_path)
    assert found is not None and found.tolist() == [3, 5, 8] and found.dtype == np.int64
