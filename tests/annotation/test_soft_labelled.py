"""Generated images as a run reads them: pixels and rows of their own beton; what is refused before it starts."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline import config, train
from pipeline.annotation.packed import open_groups
from pipeline.annotation.soft_labelled import augmented_source, open_soft_labelled
from pipeline.annotation.stored import write_annotation
from pipeline.augment import kernels
from pipeline.config import Config
from pipeline.data.batches import TrainImages, augmentation, part_sources
from pipeline.data.dataset import open_dataset
from pipeline.data.streams import VirtualShards
from pipeline.randomness import AUGMENTED
from tests.support.blends import blends
from tests.support.soft_labelled import GROUPS, NAME, annotation, put_groups, split

Change = Callable[[Path], None]


@pytest.fixture(scope="module")
def root(shipped: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return put_groups(tmp_path_factory.mktemp("data"), shipped)


def chosen(root: Path, *sets: str) -> Config:
    return config.load(None, ["dataset=digits", f"data={root}", f"augmented.dataset={NAME}", "batch.labelled=8", *sets])


def opened(root: Path, *sets: str, **changes: Any) -> list[str]:
    """Notes, where it is not refused; ``changes`` of the data set."""
    settings = chosen(root, *sets)
    generated = open_soft_labelled(settings, replace(open_dataset(settings), **changes))
    assert generated is not None
    return generated.notes


@pytest.mark.parametrize("labels", ["4", "all"])
def test_a_part_of_its_own_beton(root: Path, labels: str) -> None:
    """The weak views of what the order names; the other parts are what they are without it."""
    settings = chosen(root, f"labels={labels}", "batch.ratio=1")
    dataset, shards = open_dataset(settings), VirtualShards.of(1297, 8, 8)
    generated = open_soft_labelled(settings, dataset)
    assert generated is not None and generated.annotation is not None and generated.annotation.zero_shot.size == 0
    plain, how = part_sources(settings, dataset, shards), augmentation(dataset, settings.augment)
    sources = {**plain, "augmented": augmented_source(generated, settings, dataset, shards)}
    pixels = blends(GROUPS).reshape(-1, 32, 32, 3)
    usual = TrainImages(plain, 32, how, 0, 1).batches(3, 6)
    for batch, other in zip(TrainImages(sources, 32, how, 0, 1).batches(3, 6), usual, strict=True):
        part, weak = batch.parts["augmented"], np.empty((16, 32, 32, 3), np.uint8)
        kernels.weak_views(pixels[part.index], part.index, part.visit, 0, AUGMENTED, how, weak)
        np.testing.assert_array_equal(part.weak.permute(0, 2, 3, 1).numpy(), weak)
        np.testing.assert_array_equal(part.rows, part.index)
        between = np.stack(generated.groups.classes_of(part.index), axis=1)
        mine = dataset.train_labels[batch.parts["labelled"].rows]
        assert (between == np.repeat(mine, 2)[:, None]).any(axis=1).all()
        np.testing.assert_array_equal(batch.parts["labelled"].weak, other.parts["labelled"].weak)


def test_each_split_may_have_a_folder_of_its_own(root: Path) -> None:
    """As a grid over seeds needs it, for a generator that knew the labels of one split would leak into the others."""
    (root / "digits-4-seed0").symlink_to(root / NAME)
    assert opened(root, "augmented.dataset=digits-{split}") == []
    with pytest.raises(ValueError, match=r"digits-4-seed1: no such folder"):
        opened(root, "augmented.dataset=digits-{split}", "seed=1")


def test_nothing_is_opened_where_none_is_asked_for(root: Path) -> None:
    nothing: Any = None
    assert open_soft_labelled(config.load(None, ["dataset=digits"]), nothing) is None


def without_generator(folder: Path) -> None:
    with np.load(folder / "groups.npz") as parts:
        kept = {name: parts[name] for name in parts.files if name != "generator_positions"}
    np.savez(folder / "groups.npz", **kept)


def annotated(**changes: Any) -> Change:
    def change(folder: Path) -> None:
        groups = open_groups(folder)
        write_annotation(groups, replace(annotation(groups, split(folder.parent)), **changes))

    return change


def generator(positions: np.ndarray) -> Change:
    def change(folder: Path) -> None:
        with np.load(folder / "groups.npz") as parts:
            kept = dict(parts)
        np.savez(folder / "groups.npz", **kept | {"generator_positions": positions})

    return change


def one_class(folder: Path) -> None:
    """No group has class 3."""
    with np.load(folder / "groups.npz") as parts:
        kept = dict(parts)
    for name, other in (("first", 0), ("second", 4)):
        kept[name] = np.where(kept[name] == 3, other, kept[name])
    np.savez(folder / "groups.npz", **kept)


@pytest.fixture
def changed(root: Path) -> Any:
    """The folder of groups, put back as it was."""
    folder = root / NAME
    before = {file: file.read_bytes() for file in (folder / "groups.npz", folder / "annotation.npz")}
    yield folder
    for file, content in before.items():
        file.write_bytes(content)


ALL = np.arange(1297)
LEAK = "are not among the 40 labelled ones of this run (labels=4 seed=0)"


@pytest.mark.parametrize("algorithm", ["supervised", "fixmatch"])
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            generator(ALL),
            f"its generator saw the labels of 1257 images that {LEAK}: generate with one that was trained",
        ),
        (annotated(encoder_positions=ALL), f"its encoder saw the labels of 1257 images that {LEAK}: annotate with one"),
        (annotated(prototype_positions=ALL[:3]), f"its prototypes saw the labels of 3 images that {LEAK}: annotate"),
    ],
)
def test_a_leak_is_refused(changed: Path, algorithm: str, change: Change, words: str) -> None:
    change(changed)
    with pytest.raises(ValueError, match=r"^[^\n]*$") as error:
        opened(changed.parent, f"algorithm={algorithm}")
    assert words in str(error.value) and str(changed) in str(error.value)


def test_validation_images_are_a_leak(changed: Path) -> None:
    """labels=all less 97 validation images, of which the generator saw some."""
    generator(ALL)(changed)
    given = "algorithm=supervised", "labels=all", "augmented.labels=ratio"
    assert opened(changed.parent, *given) == []
    with pytest.raises(ValueError, match="generator saw the labels of 97 images"):
        opened(changed.parent, *given, "validation=97")


@pytest.mark.parametrize(
    ("change", "what"), [(without_generator, "generator"), (annotated(encoder_positions=None), "encoder")]
)
def test_what_is_not_known_is_a_note_or_refused(changed: Path, change: Change, what: str) -> None:
    change(changed)
    (note,) = opened(changed.parent, "algorithm=supervised")
    assert (
        note
        == f"{changed}: which labels its {what} saw is not known; results on images that it may have seen are too good"
    )
    with pytest.raises(
        ValueError, match=f"its {what} saw is not known, and algorithm=flexmatch may know its split alone"
    ):
        opened(changed.parent, "algorithm=flexmatch")


def test_labels_of_the_generator_need_no_annotation(changed: Path) -> None:
    (changed / "annotation.npz").unlink()
    assert opened(changed.parent, "augmented.labels=ratio") == []
    with pytest.raises(ValueError, match=r"annotation.npz: no such file; annotate again: python pipeline/annotate.py"):
        opened(changed.parent)


@pytest.mark.parametrize(
    ("sets", "changes", "words"),
    [
        (["augmented.dataset=nothing"], {}, "nothing: no such folder; pack groups with"),
        (["augmented.per_image=4"], {}, "have 4 places, too few for so many inner ones beside an end"),
        ([], {"classes": list("0123456798")}, "has other classes, or another order of them, than"),
        ([], {"stored_size": 40}, "holds images of 32 px, "),
        ([], {"folder": Path("data/mnist")}, "lies between classes of digits, the run's data set is mnist"),
    ],
)
def test_what_does_not_fit_is_refused(root: Path, sets: list[str], changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=r"^[^\n]*$") as error:
        opened(root, *sets, **changes)
    assert words in str(error.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (one_class, "no group has class 3 at an end"),
        (annotated(dataset="mnist"), "was annotated by images of mnist, not of digits"),
    ],
)
def test_a_folder_that_does_not_fit_is_refused(changed: Path, change: Change, words: str) -> None:
    change(changed)
    with pytest.raises(ValueError, match=words):
        opened(changed.parent)


def test_it_is_a_line_before_any_process_group(
    changed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    generator(ALL)(changed)
    given = ["dataset=digits", f"data={changed.parent}", f"augmented.dataset={NAME}", f"out={tmp_path / 'run'}"]
    assert train.main(["--set", *given, "batch.labelled=8"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ") and said.count("\n") == 1 and "its generator saw" in said
    assert not (tmp_path / "run").exists()
