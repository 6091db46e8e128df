"""predict.py as its users call it: equal to evaluate.py to the last bit, resumed where it stopped, one line a mistake.

The images are those of the digits' test.beton, saved as PNG: what evaluation reads there, prediction finds in files.
"""

import csv
import json
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dataprep.workers import WorkerPool
from pipeline import config, evaluate, predict, train
from pipeline.data.central_crops import CentralCrops
from pipeline.data.dataset import open_dataset
from pipeline.data.source_files import source_files
from pipeline.distributed import Ranks
from pipeline.prediction.decisions import Decisions
from pipeline.prediction.images import FileImages
from pipeline.prediction.job import WORKERS_RUN, Network
from pipeline.prediction.listing import list_images
from pipeline.prediction.output import Output
from pipeline.prediction.rows import Rows
from pipeline.report.restore import restore
from pipeline.runs.calibration_file import NAME, read_calibration
from tests.support.launch import digits
from tests.support.ranks import alone
from tests.support.reports import QUICK

NUM, BATCH = 70, 64


@pytest.fixture(scope="session")
def data(shipped: Path) -> Path:
    """Digits of 32 px, as these networks and files expect."""
    return shipped


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two steps, in which validation images are drawn as unlabelled ones."""
    out = tmp_path_factory.mktemp("runs") / "run"
    sets = ["steps=2", "eval_every=2", "checkpoint_every=2", "validation=97", "unlabelled.include_validation=true"]
    assert train.main(digits(data, out, *sets, "ema.decay=0.5")) == 0
    return out


@pytest.fixture(scope="module")
def photos(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first test images as files, by number, and three that cannot be read."""
    folder = tmp_path_factory.mktemp("photos")
    crops = CentralCrops(data / "digits/test.beton", 32, NUM, 1, indices=np.arange(NUM))
    (images,) = crops.batches()
    for number, pixels in enumerate(images.permute(0, 2, 3, 1).numpy()):
        Image.fromarray(pixels).save(folder / f"{number:03d}.png")
    (folder / "010-broken.png").write_bytes((folder / "010.png").read_bytes()[:80])
    (folder / "063-empty.png").touch()
    (folder / "999-last.png").write_text("no image")
    return folder


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def predicted(out: Path, *arguments: object) -> int:
    return predict.main([*map(str, arguments), "--out", str(out), "--workers", "1"])


@pytest.mark.slow
@pytest.mark.parametrize("packed", [False, True])
def test_logits_equal_those_of_evaluation(run: Path, photos: Path, tmp_path: Path, packed: bool) -> None:
    """Of the same number of images a batch; broken files do not shift the batches."""
    source = photos
    if packed:
        source = tmp_path / "photos.tar"
        with tarfile.open(source, "w") as tar:
            tar.add(photos, ".")
    assert alone(_compare, run, source, tmp_path / "work") < 0.1


def _compare(ranks: Ranks, run: Path, source: Path, work: Path) -> float:
    """How far logits in half precision are from those of evaluation, to which the others are equal."""
    network = restore(run, None, "ema", None, ranks)
    with WorkerPool(2, WORKERS_RUN) as workers:
        images = FileImages(list_images([source], work), network, BATCH, workers)
        found = list(Network(network, "fp32").predicted(images.batches(0)))
        _, half = next(Network(network, "bf16").predicted(images.batches(0)))
    expected = network.logits(network.crops(network.dataset.test_beton, np.arange(NUM)))
    assert network.config.eval_batch == BATCH and [len(batch.names) for batch, _ in found] == [BATCH, NUM - BATCH]
    assert np.array_equal(np.concatenate([logits for _, logits in found]), expected)
    assert [Path(name).name for batch, _ in found for name, _ in batch.rejected] == [
        "010-broken.png", "063-empty.png", "999-last.png",
    ]  # fmt: skip
    assert found[-1][0].done == images.total == NUM + 3
    assert not np.array_equal(half, expected[:BATCH])
    return float(np.abs(half - expected[:BATCH]).max())


@pytest.mark.slow
def test_a_list_of_files(
    run: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its rows are those of evaluation's logits; interrupted and resumed it is the same list."""
    (tmp_path / "whole").mkdir()
    assert predicted(tmp_path / "whole/p.csv", run, photos, "--batch", "16", "--raw") == 1
    printed = capsys.readouterr().out
    assert "predictions: " in printed and "(70 images, fp32, not calibrated)" in printed
    assert "not readable: 3 images, listed in" in printed
    with np.load(run / "predictions.npz") as saved:
        logits = saved["logits"][:NUM]
    names = [f"{photos}/{n:03d}.png" for n in range(NUM)]
    expected = Rows([str(digit) for digit in range(10)], Decisions(1.0))
    by_rows = [dict(zip(expected.header(), row, strict=True)) for row in expected.rows(names, np.arange(NUM), logits)]
    assert rows(tmp_path / "whole/p.csv") == by_rows
    add, left = Output.add, [2]

    def interrupted(self: Output, *given: object) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        add(self, *given)  # type: ignore[arg-type]

    (tmp_path / "again").mkdir()
    monkeypatch.setattr(Output, "add", interrupted)
    assert predicted(tmp_path / "again/p.csv", run, photos, "--batch", "16", "--raw") == 130
    assert "the same command goes on from it" in capsys.readouterr().err
    assert not (tmp_path / "again/p.csv").exists()
    left[0] = 100
    assert predicted(tmp_path / "again/p.csv", run, photos, "--batch", "16", "--raw") == 1
    assert left[0] == 97  # three batches were left to do
    for path in (tmp_path / "whole").iterdir():
        assert (tmp_path / "again" / path.name).read_bytes() == path.read_bytes(), path.name


@pytest.mark.slow
def test_the_pool_with_its_files_and_calibrated(
    run: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Evaluation calibrates the run: a temperature from test images, the pool's thresholds from validation images."""
    few = ("--images", "0", "--posthoc", "temperature", "--out", str(tmp_path / "report"))
    assert evaluate.main([str(run), *QUICK, *few]) == 0
    found = read_calibration(run)
    assert found is not None and found.pool is not None and found.is_of("ema", 2)
    assert (found.num_images, found.images.num_images, found.pool.num_images) == (100, 400, 97)
    capsys.readouterr()
    asked = ("--accept", "0.95", "--sets", "lac", "--coverage", "0.8")
    assert predicted(tmp_path / "pool.csv", run, "--pool", *asked) == 0
    assert "note: no threshold is shown to be right in 95%, so every row is for review" in capsys.readouterr().out
    dataset = open_dataset(config.load(run / "config.yaml", []))
    assert dataset.validation is not None and dataset.validation.indices is not None
    left_out = {*dataset.split.tolist(), *dataset.validation.indices.tolist()}
    written = rows(tmp_path / "pool.csv")
    files = source_files(dataset.folder, "train")
    assert [row["file"] for row in written] == [files[i] for i in range(1297) if i not in left_out]
    assert {row["decision"] for row in written} == {"review"}
    assert max(len(row["set"].split("|")) for row in written) > 5  # a network of two steps knows little
    facts = json.loads((tmp_path / "pool.json").read_text())
    assert facts["temperature"] == found.temperature and facts["accept"]["threshold"] is None
    (run / NAME).unlink()


@pytest.mark.slow
def test_mistakes_are_one_line_each(
    run: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    unfinished, empty = tmp_path / "unfinished", tmp_path / "empty"
    shutil.copytree(run, unfinished)
    (unfinished / "result.json").unlink()
    empty.mkdir()
    (empty / "clip.mp4").touch()
    for arguments, message in (
        ((unfinished, photos), "has not finished (step 2 of 2); start it again to resume it, or name one of its"),
        ((tmp_path, photos), "no run folder"),
        ((run, empty), "holds no image"),
        ((run, tmp_path / "gone.jpg"), "no such file or folder"),
        ((run,), "or give --pool: exactly one"),
        ((run, photos, "--pool"), "or give --pool: exactly one"),
        ((run, photos, "--workers", "0"), "must be at least 1"),
        ((run, photos, "--accept", "0.95"), "no calibration.json; fit a temperature with"),
        ((run, photos, "--weights", "selected"), "selected.pt is missing"),
        ((run, photos, "--checkpoint", "1"), "has checkpoints of steps 2"),
        ((run, photos, "--data", tmp_path), "no such data set"),
        ((run, photos, "--probability-of", "3", "ten"), "--probability-of ten: the run knows no such class; there"),
    ):
        capsys.readouterr()
        assert predict.main([*map(str, arguments), "--out", str(tmp_path / "p.csv")]) == 2
        captured = capsys.readouterr()
        assert captured.err.count("\n") == 1 and message in captured.err, captured.err
    assert not list(tmp_path.glob("*p.csv*")), "something half-written"


def test_help_and_typos_wait_for_nothing() -> None:
    code = "import sys; from pipeline import predict\ntry: predict.main(['--help'])\nexcept SystemExit: pass\n"
    code += "assert predict.main(['nowhere', 'x.jpg']) == 2\nassert not {'torch', 'numba', 'scipy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
