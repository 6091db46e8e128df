"""What the benchmarks stand on, and each of them once at its smallest; a stand-in takes the place of the peer."""

import json
import os
import re
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from PIL import Image

from pipeline import config, models
from pipeline.config.sections import ModelConfig

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
SCRIPTS = (
    "augmented",
    "check_gpu",
    "generator",
    "gpu_hours",
    "loader",
    "margins",
    "mixup",
    "networks",
    "parity",
    "predicting",
    "promises",
    "step",
    "writing",
)
CHILD = """
import os, contender
cores = lambda: os.sched_getaffinity(0)
contender.serve({"twice": lambda number: 2 * number, "cores": cores, "leave": lambda: os._exit(3)})
"""
PEER = """
import contender
nothing, rate, seconds = lambda **_: None, lambda **_: 10.0, lambda steps: [0.1] * steps
contender.serve({"open_cifar": nothing, "open_imagenet": nothing, "rate": rate, "hold": nothing, "seconds": seconds})
"""


@pytest.fixture(autouse=True)
def script_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if a script of benchmarks/ was run."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.setenv("PYTHONPATH", str(BENCHMARKS))


@pytest.fixture
def peer_stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A peer that does nothing, at once, and needs no environment."""
    import contender
    import peer

    class WithStandIn(contender.Contender):
        def __init__(self, script: str, *arguments: Any, **options: Any) -> None:
            super().__init__(str(stand_in) if script.startswith("peer") else script, *arguments, **options)

    stand_in = tmp_path / "stand_in.py"
    stand_in.write_text(PEER)
    monkeypatch.setattr(peer, "python", lambda: sys.executable)
    for script in ("loader", "step"):
        monkeypatch.setattr(f"{script}.Contender", WithStandIn)
    yield


def run(script: str, monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int | None:
    """What the script's ``main`` returns, started with these arguments."""
    monkeypatch.setattr(sys, "argv", [f"{script}.py", *map(str, arguments)])
    code: int | None = __import__(script).main()
    return code


def last_line(capsys: pytest.CaptureFixture[str]) -> dict[str, float]:
    """The JSON object that every script ends with."""
    found: dict[str, float] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return found


def test_a_contender_answers_on_its_own_cores_and_says_what_failed(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    import contender

    (tmp_path / "child.py").write_text(CHILD)
    core = min(os.sched_getaffinity(0))
    with contender.Contender(str(tmp_path / "child.py"), cores=[core]) as child:
        assert child.ask("twice", number=21) == 42
        assert child.ask("cores") == {core}
        with pytest.raises(SystemExit, match="twice failed: TypeError"):
            child.ask("twice", number=None)
        assert child.ask("twice", number=1) == 2  # goes on
        with pytest.raises(SystemExit, match=r"died \(exit code 3\)"):
            child.ask("leave")
    assert "TypeError" in capfd.readouterr().err


def test_without_a_package_index_one_line_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    import peer

    monkeypatch.setattr(peer, "FOLDER", tmp_path / "env")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    for _ in range(2):  # what was left half made is not taken for finished
        with pytest.raises(ValueError, match=r"pip could not install .* run it again with network") as error:
            peer.python()
        assert "\n" not in str(error.value)


def test_the_largest_difference_is_relative_to_the_largest_entry() -> None:
    import parity

    one, other = [torch.tensor([1.0, -200.0]), torch.tensor([3.0])], [torch.tensor([1.0, -200.0]), torch.tensor([1.0])]
    assert parity.largest(one, one) == 0
    assert parity.largest(one, other) == 2 / 200
    assert parity.largest([torch.zeros(2)], [torch.zeros(2)]) == 0


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_script_explains_itself_without_the_peer(
    script: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="0"):
        run(script, monkeypatch, "--help")
    assert "usage" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.long
def test_ffcvs_floor_never_ends(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It reads the images over and over: on a fast machine the time is longer than any list of indices."""
    import loader_side

    monkeypatch.setattr(loader_side, "EPOCHS", 1)
    loader_side.open_floor(str(data / "digits/train.beton"), batch=256)
    batches = loader_side.opened["floor"]()
    counts = [next(batches) for _ in range(9)]
    batches.close()
    assert sum(counts) > 1297 and set(counts) <= {256, 17}


@pytest.mark.slow
@pytest.mark.long
def test_loader(
    data: Path,
    tmp_path: Path,
    peer_stand_in: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """On one core; from a finished data folder and a folder of photos."""
    core = min(os.sched_getaffinity(0))
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {core})
    monkeypatch.setattr("loader.PHOTOS", 60)
    (tmp_path / "photos").mkdir()
    for i in range(3):
        Image.fromarray(np.full((90, 120, 3), 60 * i, np.uint8)).save(tmp_path / f"photos/{i}.jpg")
    given = ["--data", data / "digits", "--photos", tmp_path / "photos", "--rounds", 1, "--seconds", 0.1]
    assert run("loader", monkeypatch, *given) == 0
    found = last_line(capsys)
    assert set(found) == {"uint8_x", "float32_x", "ffcv_x", "jpeg224_x"} and min(found.values()) > 0


@pytest.mark.slow
@pytest.mark.long
def test_step(peer_stand_in: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Two of our contenders stand for all: each is a process that imports torch."""
    import step

    monkeypatch.setitem(step.PEERS, "wrn-10-1", "")
    monkeypatch.setattr(step, "OURS", {name: step.OURS[name] for name in ("default", "mix")})
    given = ["--model", "wrn-10-1", "--labelled", 2, "--rounds", 1, "--steps", 1, "--peak-tflops", 1]
    assert run("step", monkeypatch, *given) == 0
    found = last_line(capsys)
    assert set(found) == {"default_x", "floor_x", "mix_cost_percent"} and found["floor_x"] > 0


def test_promises() -> None:
    """Of 4,000 answers that are as often right as they say: rarely broken, and covered."""
    import promises

    given = promises._parser().parse_args(["run", "--calibrate-on", "500", "--accept", "0.85"])
    generator = np.random.default_rng(0)
    right = generator.uniform(0.6, 1, 4000)
    probabilities = np.stack([right, 1 - right], 1)
    labels = (generator.uniform(size=4000) > right).astype(np.int64)
    found = promises.accepting(probabilities, labels, given, generator)
    assert found["broken"] <= 5 and 0.1 < found["accepted"] < 0.8
    assert promises.covering(probabilities, labels, given, generator) == {"outside": 0}
    low, high = promises.interval(628, 629, 0.9)
    assert low == pytest.approx(0.839, abs=0.002) and high == pytest.approx(0.951, abs=0.002)


class InThisProcess:
    """A contender whose actions are called here: of ``networks_side.py`` and ``torchvision_side.py``."""

    actions: ClassVar[dict[str, Any]] = {}

    def __init__(self, script: str, *_: Any, **__: Any) -> None:
        self.script = script

    def tell(self, action: str, **options: Any) -> None:
        self.answer = partial(self.actions[f"{self.script}:{action}"], **options)

    def ask(self, action: str, **options: Any) -> Any:
        self.tell(action, **options)
        return self.answer()

    def __enter__(self) -> "InThisProcess":
        return self

    def __exit__(self, *_: object) -> None: ...


def test_mixup(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Beside torchvision as it is, without workers; ours, which test_step has, is given."""
    import mixup
    import torchvision_side

    asked: list[list[str]] = []
    hold = partial(torchvision_side.hold, workers=0)
    monkeypatch.setattr(InThisProcess, "actions", {
        "step_side.py:train": lambda settings, out: asked.append(settings),
        "step_side.py:loader": lambda steps, processor: [1e-9] * steps,
        "torchvision_side.py:hold": hold,
        "torchvision_side.py:seconds": torchvision_side.seconds,
    })  # fmt: skip
    monkeypatch.setattr(mixup, "Contender", InThisProcess)
    given = ["--model", "wrn-10-1", "--labelled", 4, "--rounds", 1, "--steps", 1, "--processor"]
    assert run("mixup", monkeypatch, *given) == 0
    found = last_line(capsys)
    assert set(found) == {name for name, _, _ in mixup.RATIOS} and min(found["mixup_x"], found["channels_last_x"]) > 1
    assert [config.load(None, settings).mix for settings in asked] == ["none", "mixup", "manifold"]
    images, targets = next(torchvision_side.held["batches"][True])
    assert images.shape == (4, 3, 32, 32) and torch.allclose(targets.sum(dim=1), torch.ones(4))


def test_augmented(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Its data folders and its stream are real; the steps, which test_step has, are given."""
    import augmented

    asked: list[list[str]] = []
    monkeypatch.setattr(InThisProcess, "actions", {
        "step_side.py:train": lambda settings, out: asked.append(settings),
        "step_side.py:loader": lambda steps, processor: [1.0 + len(asked)] * steps,
    })  # fmt: skip
    monkeypatch.setattr(augmented, "Contender", InThisProcess)
    given = ["--model", "wrn-10-1", "--labelled", 4, "--size", 8, "--rounds", 1, "--steps", 1]
    assert run("augmented", monkeypatch, *given) == 0
    found = last_line(capsys)
    assert (found["separate_x"], found["joint_x"], found["images_x"]) == (1, 1, 3) and found["images_per_second"] > 1
    made = [config.load(None, settings) for settings in asked]
    assert [each.images_per_step for each in made] == [4, 12, 12]
    assert [each.augmented.forward for each in made[1:]] == ["separate", "joint"]


def test_networks(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The smallest, on one rank."""
    import networks
    import networks_side

    monkeypatch.setattr(InThisProcess, "actions", {"networks_side.py:train": networks_side.train})
    monkeypatch.setattr(networks, "Contender", InThisProcess)
    monkeypatch.setattr(networks, "NETWORKS", (("wrn-10-1", 32),))
    assert run("networks", monkeypatch, "--ranks", 1) == 0
    printed = capsys.readouterr().out.splitlines()
    assert re.match(r"\| `wrn-10-1` \| 32 \| 77,866 \| [\d.]+ \| \d+ \|$", printed[2]), printed
    assert json.loads(printed[-1]) == {"wrn-10-1, 32 px": 77866}


def test_a_network_that_does_not_train_is_told() -> None:
    import networks

    fine = {"losses": [2.0, 1.0], "weights": 5.0, "moved": True, "parameters": 1, "seconds": 0.1, "memory": 1 << 20}
    assert networks.wrong([fine, fine]) == "" and networks.row("x", 32, [fine, fine]).endswith("| 0.20 | 1 |")
    assert networks.wrong([fine | {"losses": [2.0, float("nan")]}]) == "a loss is not finite"
    assert networks.wrong([fine, fine | {"weights": 5.1}]) == "ranks disagree"
    assert networks.row("x", 32, [fine | {"moved": False}]).endswith("FAILED: no weight moved")


def test_equal_number_formats_are_compared() -> None:
    """On a GPU the peer convolves in TF32 as it comes: our float32 stands beside its own without."""
    import step

    cpu = {"peer": 4.0, "ours, fp32": 2.0, "ours": 1.0, "ours, CalibrateMix": 1.2}
    assert step.ratios(cpu) == {"fp32_x": 2, "default_x": 4, "mix_cost_percent": pytest.approx(20)}
    gpu = cpu | {"peer, TF32 off": 10.0, "ours, tf32": 0.5}
    assert step.ratios(gpu) == step.ratios(cpu) | {"fp32_x": 5, "tf32_x": 8}


def test_a_turn_on_a_gpu_is_one_stretch() -> None:
    """Each step waited for alone would hide that the host runs ahead; on a CPU there is nothing to run ahead of."""
    import step_side

    gpu, cpu = (SimpleNamespace(ranks=SimpleNamespace(device=torch.device(kind))) for kind in ("cuda", "cpu"))
    assert step_side.stretches(gpu, 20) == [step_side.UNTIMED, 20] and step_side.untimed(gpu) == 1
    assert step_side.stretches(cpu, 2) == [1, 1] and step_side.untimed(cpu) == 0


def seconds_by_mix(config: config.Config) -> float:
    """As if a step of FixMatch took one second, and mixing two more."""
    return 1.0 if config.mix == "none" else 3.0


def test_hours_follow_from_measured_steps_before_and_after_mixing_begins() -> None:
    import gpu_hours

    def run_of(*sets: str) -> config.Config:
        return config.load(None, ["dataset=cifar10", "steps=3600", "warmup_steps=1800", *sets])

    measured: list[str] = []
    hours = gpu_hours.Hours(lambda run: (measured.append(run.mix), seconds_by_mix(run))[1])
    assert [hours.of(run_of(*sets)) for sets in ([], ["mix=calibratemix"], ["mix=random", "seed=3"])] == [1, 2, 2]
    assert measured == ["none", "calibratemix"], "labels, seeds and kinds of pairs cost nothing"
    assert hours.of(run_of("algorithm=supervised")) == 1 and len(measured) == 3
    hours.of(run_of("model.name=wrn-28-8"))
    hours.of(run_of("mix=all"))
    assert measured[3:] == ["none", "all"]


def test_the_fields_of_a_grid_are_those_that_it_reads(tmp_path: Path) -> None:
    import gpu_hours
    import yaml

    from slurm.grids import grid

    file = BENCHMARKS.parent / "configs/table1.yaml"
    text = gpu_hours.report(file, [], gpu_hours.Hours(seconds_by_mix))
    total, *fields = text.splitlines()
    measured = tmp_path / "table1.yaml"
    measured.write_text(yaml.safe_dump(yaml.safe_load(file.read_text()) | yaml.safe_load("\n".join(fields))))
    found = grid.load(measured)
    plain, mixed = (next(c for c in found.cells if c.config.mix == mix) for mix in ("none", "calibratemix"))
    assert found.hours(plain) == pytest.approx(2**20 / 3600, rel=0.01)
    assert found.hours(mixed) == pytest.approx((102400 + 3 * (2**20 - 102400)) / 3600, rel=0.01)
    assert re.search(r"table1.yaml: [\d.e+,]+ hours for 204 runs", total)


@pytest.mark.slow
@pytest.mark.long
def test_gpu_hours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """One measured step; a set that is not known ends in one line."""
    file = tmp_path / "tiny.yaml"
    file.write_text("{dataset: cifar10, algorithm: supervised, steps: 7200, model: {name: wrn-10-1}}")
    given = ["--steps", 1, "--set", "mix=none", "batch.labelled=2", "precision=fp32", "threads=1"]
    assert run("gpu_hours", monkeypatch, file, *given) == 0
    step, whole = capsys.readouterr().out.splitlines()
    milliseconds = float(step.split(": ")[1].split()[0])
    assert float(whole.split(": ")[1].split()[0]) == pytest.approx(2 * milliseconds / 1e3, rel=0.02)
    assert run("gpu_hours", monkeypatch, file, "--set", "dataset=mine") == 2
    assert capsys.readouterr().err.count("\n") == 1


class Mirror:
    """A peer that computes as we do: with our networks, and by repeating what our side recorded."""

    record: Any

    def __init__(self, *_: object, **__: object) -> None: ...

    def __enter__(self) -> "Mirror":
        return self

    def __exit__(self, *_: object) -> None: ...

    def ask(self, action: str, **asked: Any) -> Any:
        return self.forward(**asked) if action == "forward" else self.train()

    def forward(self, net: str, state: list[torch.Tensor], images: torch.Tensor, training: bool, double: bool) -> Any:
        model = models.build(ModelConfig(name=net), 10, 0).to(torch.float64 if double else torch.float32)
        model.load_state_dict(dict(zip(model.state_dict(), state, strict=True)))
        with torch.no_grad():
            return model.train(training)(images)

    def train(self) -> dict[str, Any]:
        import parity

        record, run = self.record, self.record.run
        decay = {p: group["weight_decay"] for group in run.optimizer.param_groups for p in group["params"]}
        return {
            "losses": torch.stack(record.terms).tolist(),
            "gradients": record.gradients,
            "rates": record.rates,
            "decay": [decay.get(p, 0.0) for p in run.model.parameters()],
            "state": list(run.model.state_dict().values()),
            "ema": list(run.ema.module.state_dict().values()),
            "algorithm": parity.remembered(run),
        }


@pytest.mark.slow
def test_parity(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Equal to the last digit beside its mirror image; exit code 1 where a number is wrong."""
    import parity
    import peer

    class Recorder(parity.Recorder):  # type: ignore[misc,name-defined]
        def __init__(self, steps: int) -> None:
            super().__init__(steps)
            Mirror.record = self

    monkeypatch.setattr(peer, "python", lambda: "")
    monkeypatch.setattr(parity, "Recorder", Recorder)
    monkeypatch.setattr(parity, "Contender", Mirror)
    monkeypatch.setattr(parity, "NETWORKS", {"wrn-10-1": ("wrn-10-1", 32)})
    monkeypatch.setattr(parity, "TRAINED", "wrn-10-1")
    given = ["--steps", 2, "--algorithms", "softmatch"]
    assert run("parity", monkeypatch, *given) == 0
    found = last_line(capsys)
    assert set(found) == {"forward", "loss", "gradient", "state"} and max(found.values()) < 1e-7
    monkeypatch.setitem(parity.TOLERANCES, "loss", -1)
    assert run("parity", monkeypatch, *given) == 1


@pytest.mark.slow
@pytest.mark.slow
def test_generator(data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    import generator

    from pipeline.generator import groups

    monkeypatch.setattr(groups, "IN_A_SHARD", 1)
    monkeypatch.setattr(generator, "STEPS", 2)
    small = "batch=8", "resolution=8", "network.channels=16", "network.multipliers=1", "network.attention=null"
    given = ["--rounds", 1, "--steps", 1, "--micro-batch", 1, "--places", 2, "--set", *small, "threads=1"]
    assert run("generator", monkeypatch, *given, f"data={data}") == 0
    found = last_line(capsys)
    assert set(found) == {"training_x", "sampling_x", "images_per_second", "memory_growth_mb"}
    assert found["sampling_x"] > 0.5 and found["training_x"] > 0.5


def test_margins(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    import margins

    monkeypatch.setattr(margins, "SAMPLES", (1000, 2000))
    monkeypatch.setattr(margins, "CLASSES", (10,))
    settings = ["dataset=x", "mix=calibratemix", "warmup_steps=0", "model.name=wrn-10-1", "steps=9"]
    monkeypatch.setattr(margins, "SETTINGS", config.load(None, settings))
    run("margins", monkeypatch, "--rounds", 1, "--steps", 1)
    assert set(last_line(capsys)) == {"percent_of_step", "growth"}


@pytest.mark.slow
@pytest.mark.long
def test_writing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    run("writing", monkeypatch, "--images", 40, "--rounds", 1, "--workers", 1)
    found = last_line(capsys)
    assert set(found) == {"write_x", "command_x"} and min(found.values()) > 0
    run("writing", monkeypatch, "--memory", 20, "--workers", 1)
    assert "20 images: peak" in capsys.readouterr().out
