"""annotate.py end to end: a real run as encoder, pixel blends of real digits as groups."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from dataprep.generated.pack import pack
from pipeline import annotate, train
from pipeline.annotation.packed import Groups, open_groups
from pipeline.annotation.stored import Annotation, read_annotation
from pipeline.data.central_crops import CentralCrops
from pipeline.distributed import Ranks
from pipeline.report.restore import restore
from tests.support.blends import blends, write_shards
from tests.support.ranks import alone

CONFIG = Path(__file__).parents[1] / "configs/digits.yaml"
GROUPS = 90


@pytest.fixture(scope="module")
def run(shipped: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run on 40 labelled digits."""
    out = tmp_path_factory.mktemp("runs") / "encoder"
    small = ["steps=60", "log_every=60", "eval_every=60", "checkpoint_every=60", "threads=1", "ema.decay=0.9"]
    given = [f"data={shipped}", f"out={out}", "algorithm=supervised", "labels=4", "precision=fp32", *small]
    assert train.main(["--config", str(CONFIG), "--set", *given]) == 0
    return out


@pytest.fixture(scope="module")
def folder(shipped: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """DATA/digits-csm, beside DATA/digits."""
    root = tmp_path_factory.mktemp("data")
    (root / "digits").symlink_to(shipped / "digits")
    pack(write_shards(root / "shards", blends(GROUPS)), root / "digits-csm", 1)
    return root / "digits-csm"


@pytest.fixture(scope="module")
def annotated(run: Path, folder: Path) -> tuple[Groups, Annotation]:
    assert annotate.main([str(folder), "--encoder", str(run), "--threads", "1"]) == 0
    groups = open_groups(folder)
    return groups, read_annotation(groups)


@pytest.mark.slow
def test_every_image_is_annotated_as_written_down_slowly(annotated: tuple[Groups, Annotation], run: Path) -> None:
    """Features of all images at once, means of the run's own 40 labelled ones, Eq. 9 in a loop."""
    groups, found = annotated

    def answers(ranks: Ranks) -> tuple[np.ndarray, ...]:
        network = restore(run, str(groups.folder.parent), "ema", None, ranks)
        labelled = network.crops(network.dataset.train_beton, network.dataset.split)
        generated = CentralCrops(groups.beton, 32, 64, 1, fields=("group", "place"))
        _, real = network.logits_and_features(labelled)
        return (real, labelled.labels, *network.logits_and_features(generated), network.dataset.split)

    real, labels, logits, features, split = alone(answers)
    means = np.stack([real[labels == label].mean(0, dtype=np.float64) for label in range(10)])
    for image in range(0, groups.num_images, 7):
        group = image // 4
        a, b = means[groups.first[group]], means[groups.second[group]]
        expected = (features[image] - b) @ (a - b) / ((a - b) @ (a - b))
        assert found.lambda_e[image] == pytest.approx(expected, abs=1e-4)
    np.testing.assert_allclose(found.prototypes, means, atol=1e-4)
    np.testing.assert_allclose(found.zero_shot, torch.from_numpy(logits).softmax(1).numpy(), atol=1e-5)
    for positions in (found.prototype_positions, found.encoder_positions):
        np.testing.assert_array_equal(positions, split)
    assert (found.temperature, found.dataset) == (0, "digits") and str(run) in found.encoder


@pytest.mark.slow
def test_numbers_and_page(annotated: tuple[Groups, Annotation]) -> None:
    groups, found = annotated
    numbers = json.loads((groups.folder / "annotation.json").read_text())
    assert (numbers["images"], numbers["groups"], numbers["pairs"]) == (360, 90, 45)
    by_place = found.lambda_e.reshape(-1, 4).mean(0)
    assert numbers["lambda_e_by_place"] == pytest.approx(by_place.tolist(), abs=1e-5)
    assert by_place[0] < by_place[3]
    answers = found.zero_shot.argmax(1).reshape(-1, 4)
    right = (answers[:, 0] == groups.second).mean() + (answers[:, 3] == groups.first).mean()
    assert numbers["ends_as_intended"] == pytest.approx(right / 2)
    assert numbers["labelled"] == {"prototypes": 40, "encoder": 40, "generator": 3}
    assert numbers["frechet"]["between"]["images"] == 180 and numbers["frechet"]["test"]["images"] == 500
    page = (groups.folder / "annotation" / "index.html").read_text()
    assert page.count("data:image/png") == 3 and "Ends as intended" in page
    assert len((groups.folder / "annotation" / "pairs.csv").read_text().splitlines()) == 46
    names = {path.name for path in groups.folder.iterdir()}
    assert names == {
        "images.beton", "groups.npz", "manifest.json", "annotation.npz", "annotation.json", "annotation",
    }  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--labels", "4-seed9"], "--labels 4-seed9: {data}/digits has no such split; choose all, or one of 1-seed0"),
        (["--data", "{data}/none"], "none/digits/manifest.json: no such data set"),
        (["--scale", "0"], "--scale must be above 0"),
        (["--batch", "0"], "--batch must be at least 1"),
        (["--encoder", "{data}"], "no run folder of pipeline/train.py"),
    ],
)
def test_mistakes_are_one_line(
    folder: Path, run: Path, arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    given = [word.format(data=folder.parent) for word in arguments]
    capsys.readouterr()
    assert annotate.main([str(folder), "--encoder", str(run), *given]) == 2
    error = capsys.readouterr().err
    assert error.startswith("annotate.py: ") and error.count("\n") == 1 and words.format(data=folder.parent) in error
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before


@pytest.mark.parametrize("words", [["--help"], ["nowhere", "--encoder", "nowhere"]])
def test_it_answers_before_torch_is_imported(words: list[str]) -> None:
    import subprocess
    import sys

    script = "import sys; sys.modules['torch'] = None\nfrom pipeline.annotate import main\nsys.exit(main(sys.argv[1:]))"
    done = subprocess.run([sys.executable, "-c", script, *words], capture_output=True, text=True, env=dict(os.environ))
    assert done.returncode == (0 if words == ["--help"] else 2), done.stderr
    assert done.stderr.count("\n") == (0 if words == ["--help"] else 1)
