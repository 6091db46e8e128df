"""A generator of few labels and the pseudo-labels of a run: which images it learns, and what counts as seen."""

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline import config
from pipeline.config.generator import GeneratorConfig
from pipeline.data.dataset import open_dataset
from pipeline.data.source_files import source_files
from pipeline.generator import records
from pipeline.generator.pseudo_labels import with_pseudo_labels

SURE = {"5": 0.99, "9": 0.95, "7": 0.94}  # confidence by class


def options(data: Path, file: Path, labels: str = "4") -> GeneratorConfig:
    return GeneratorConfig(dataset="digits", data=str(data), labels=labels, pseudo_labels=str(file))


@pytest.fixture
def pool(data: Path, tmp_path: Path) -> Path:
    """pool.csv of a run with 4 labels a class: every unlabelled image in turn a 5, a 9 and a 7."""
    run = tmp_path / "run"
    run.mkdir()
    settings = config.load(None, ["dataset=digits", f"data={data}", "labels=4"])
    (run / "config.yaml").write_text(json.dumps(settings.to_dict()))
    dataset = open_dataset(settings)
    files = source_files(data / "digits", "train")
    with (tmp_path / "pool.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "class", "confidence"])
        for n, i in enumerate(np.setdiff1d(np.arange(1297), dataset.split)):
            name = list(SURE)[n % 3]
            writer.writerow([files[i], name, SURE[name]])
    (tmp_path / "pool.json").write_text(json.dumps({"run": str(run), "source": "pool"}))
    return tmp_path / "pool.csv"


def test_confident_images_join_the_labelled_ones(data: Path, pool: Path) -> None:
    chosen = options(data, pool)
    labelled = open_dataset(chosen.labelled_data)
    both = with_pseudo_labels(chosen, labelled)
    unlabelled = np.setdiff1d(np.arange(1297), labelled.split)
    sure = np.flatnonzero(np.arange(len(unlabelled)) % 3 < 2)
    expected = dict(zip(labelled.split.tolist(), labelled.train_labels.tolist(), strict=True))
    expected |= {int(unlabelled[n]): 5 if n % 3 == 0 else 9 for n in sure}
    assert dict(zip(both.split.tolist(), both.train_labels.tolist(), strict=True)) == expected
    assert (np.diff(both.split) > 0).all()
    assert with_pseudo_labels(replace(chosen, pseudo_labels=None), labelled) is labelled


def test_the_labelled_images_alone_count_as_seen(data: Path, pool: Path, tmp_path: Path) -> None:
    chosen = options(data, pool)
    labelled = open_dataset(chosen.labelled_data)
    records.describe(tmp_path, chosen, with_pseudo_labels(chosen, labelled), 8)
    np.testing.assert_array_equal(np.load(tmp_path / "positions.npy"), labelled.split)
    labels = json.loads((tmp_path / "generator.json").read_text())["labels"]
    assert labels["name"] == f"4 and 838 pseudo-labels of {tmp_path / 'run'}" and labels["count"] == 40


def without_run(pool: Path) -> None:
    pool.with_suffix(".json").unlink()


def of_photos(pool: Path) -> None:
    pool.with_suffix(".json").write_text(json.dumps({"run": "x", "source": "abc"}))


def with_another_class(pool: Path) -> None:
    pool.write_text(pool.read_text().replace(",5,", ",five,"))


def unsure(pool: Path) -> None:
    pool.write_text(pool.read_text().replace("0.9", "0.1"))


@pytest.mark.parametrize(
    ("change", "labels", "words"),
    [
        (without_run, "4", "pool.json cannot be read; write it with python pipeline/predict.py RUN --pool --raw"),
        (of_photos, "4", "is no list of a pool"),
        (with_another_class, "4", "cannot be read (KeyError('five'))"),
        (unsure, "4", "no image is sure by 0.95; lower pseudo_confidence"),
        (
            lambda _: None,
            "1",
            "saw the labels of 30 images that are not among the 10 of the generator (labels=1 seed=0)",
        ),
        (lambda _: None, "all", "of its images are labelled ones of the generator"),
    ],
)
def test_what_does_not_fit_is_refused(
    data: Path, pool: Path, change: Callable[[Path], None], labels: str, words: str
) -> None:
    change(pool)
    chosen = options(data, pool, labels)
    with pytest.raises(ValueError, match=r"^[^\n]*$") as error:
        with_pseudo_labels(chosen, open_dataset(chosen.labelled_data))
    assert words in str(error.value)
