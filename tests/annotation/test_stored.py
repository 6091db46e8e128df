"""annotation.npz: what was written is read, and what does not belong to the images is refused."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dataprep.generated import manifest
from dataprep.generated.pack import pack
from pipeline.annotation.packed import Groups, open_groups
from pipeline.annotation.stored import Annotation, read_annotation, write_annotation
from tests.support.blends import SETTINGS, blends, write_shards


@pytest.fixture(scope="module")
def groups(tmp_path_factory: pytest.TempPathFactory) -> Groups:
    folder = tmp_path_factory.mktemp("packed")
    pack(write_shards(folder / "shards", blends(47)), folder / "digits-csm", 1)
    return open_groups(folder / "digits-csm")


def annotation(images: int) -> Annotation:
    draw = np.random.default_rng(0).random
    return Annotation(
        lambda_e=draw(images, np.float32),
        zero_shot=draw((images, 10), np.float32),
        prototypes=draw((10, 3), np.float32),
        encoder="runs/encoder",
        encoder_sha256="0",
        dataset="digits",
        prototype_positions=np.arange(5),
        encoder_positions=None,
        temperature=0.5,
    )


def test_groups_are_read_as_they_were_packed(groups: Groups) -> None:
    assert (groups.dataset, groups.stored_size, groups.num_images) == ("digits", 32, 47 * 4)
    assert groups.ratios.tolist() == SETTINGS["ratios"]
    assert groups.generator_positions is not None and groups.generator_positions.tolist() == [1, 4, 9]
    first, second = groups.classes_of(np.array([0, 3, 4, 45 * 4]))
    assert first.tolist() == [0, 0, 0, 0] and second.tolist() == [1, 1, 2, 1]
    pairs, pair_of = groups.pairs
    assert len(pairs) == 45 and pair_of.tolist() == [*range(45), 0, 1]


@pytest.mark.parametrize("known", [True, False])
def test_what_was_written_is_read(groups: Groups, known: bool) -> None:
    written = replace(annotation(188), encoder_positions=np.arange(7) if known else None)
    write_annotation(groups, written)
    read = read_annotation(groups)
    for name, value in vars(written).items():
        np.testing.assert_array_equal(getattr(read, name), value, err_msg=name)


def test_an_annotation_that_could_not_be_written_leaves_the_old_one(
    groups: Groups, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_annotation(groups, annotation(188))

    def full(file: object, **_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(OSError, match="No space left"):
        write_annotation(groups, replace(annotation(188), temperature=9))
    assert read_annotation(groups).temperature == 0.5


def test_what_does_not_belong_to_the_images_is_refused(groups: Groups) -> None:
    again = "annotate again: python pipeline/annotate.py"
    write_annotation(replace(groups, images_sha256="1"), annotation(188))
    with pytest.raises(ValueError, match=f"is of other images than images.beton holds; {again}"):
        read_annotation(groups)
    (groups.folder / "annotation.npz").write_bytes(b"PK\3\4 half")
    with pytest.raises(ValueError, match=rf"annotation.npz: cannot be read .*; {again}"):
        read_annotation(groups)
    (groups.folder / "annotation.npz").unlink()
    with pytest.raises(ValueError, match=f"annotation.npz: no such file; {again}"):
        read_annotation(groups)


def test_a_folder_whose_parts_do_not_fit_is_refused(groups: Groups, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no such folder; pack groups with"):
        open_groups(tmp_path / "nowhere")
    copy = shutil.copytree(groups.folder, tmp_path / "digits-csm")
    np.savez(copy / manifest.GROUPS, first=groups.first[1:], second=groups.second[1:], ratios=groups.ratios)
    with pytest.raises(
        ValueError, match=r"images.beton does not hold the groups of its manifest.json; pack them again"
    ):
        open_groups(copy)
    (copy / manifest.GROUPS).write_bytes(b"")
    with pytest.raises(ValueError, match=r"groups.npz: cannot be read .*; pack the groups again"):
        open_groups(copy)
