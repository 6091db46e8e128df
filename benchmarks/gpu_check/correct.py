"""Is it right: trainings of the digits on the GPU beside the CPU, one rank beside two, whole beside interrupted."""

import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from gpu_check import cover
from gpu_check.fake_runs import attempt, counted, failures, pretending, table
from gpu_check.runs import (
    LOSSES,
    Failed,
    Place,
    command,
    finish,
    largest_difference,
    lines,
    run,
    started,
    train,
    train_on_two_ranks,
    wait_for,
)

QUIET = ("log_every=1", "eval_every=100000", "checkpoint_every=100000")
# In float64 with group norm, in which one rank, two ranks, GPU and CPU compute the same to rounding.
EXACT = ("precision=fp64", "model.norm=group", "mix=calibratemix", "warmup_steps=3", "unlabelled.threshold=0.3", *QUIET)
ALGORITHMS = ("fixmatch", "flexmatch", "softmatch")
SAME = 1e-7  # largest difference of a loss


def digits(place: Place) -> list[str]:
    """FixMatch + CalibrateMix on the digits, in the default precision, to a result."""
    steps, most = place.size(600, 60), place.size(30.0, 85.0)
    sets = ["mix=calibratemix", f"steps={steps}", f"warmup_steps={steps // 10}", f"eval_every={steps}"]
    folder = train(place, "digits", sets)
    result = json.loads((folder / "result.json").read_text())
    said = [f"error {result['error']:.1f}%", f"ECE {result['ece']:.1f}%", f"{steps} steps"]
    if not result["error"] < most:
        raise Failed(f"{', '.join(said)}: more than {most:g}% error")
    return said


def waits(place: Place) -> list[str]:
    """Every algorithm with every mix and some options under CUDA's own sync-debug mode; without a GPU on fakes."""
    if not place.gpus:
        return pretended_waits()
    found = place.scratch / "waits.json"
    script = str(Path(__file__).with_name("waits_side.py"))
    folder = str(Path(__file__).parents[1])
    run([sys.executable, script, *place.digits(), str(found)], place, "waits", PYTHONPATH=folder)
    errors = json.loads(found.read_text())
    return verdict(len(errors), [f"{name}: {error}" for name, error in errors.items() if error], "never wait")


def pretended_waits() -> list[str]:
    """Every method, network, precision, 1 and 8 ranks on pretended CUDA tensors, and the table of launches."""
    with pretending(len(os.sched_getaffinity(0))) as pool:
        for world in (1, 8):
            print(f"{table(counted(pool, world), world)}\n", flush=True)
        cases = [*cover.product(), *cover.single_options()]
        tried = list(pool.map(attempt, cases, chunksize=8))
    return verdict(len(tried), failures(tried), "combinations on fake CUDA tensors never wait")


def verdict(count: int, wrong: list[str], what: str) -> list[str]:
    """The figure; Failed with the first of what is wrong."""
    if wrong:
        raise Failed(f"{len(wrong)} of {count} fail, the first: {wrong[0]}")
    return [f"{count} {what}"]


def float64(place: Place) -> list[str]:
    """The GPU computes what the CPU does; a GPU's steps stay for ``ranks``. Without a GPU: two CPU runs."""
    said = []
    for algorithm in place.size(ALGORITHMS, ALGORITHMS[:1]):
        sets = [*EXACT, f"algorithm={algorithm}", f"steps={place.size(16, 5)}"]
        with started(
            command(place, f"cpu-{algorithm}", sets), place, f"cpu-{algorithm}", CUDA_VISIBLE_DEVICES=""
        ) as cpu:
            gpu = train(place, f"one-{algorithm}", sets)
            finish(cpu, place, f"cpu-{algorithm}")
        said.append(same(algorithm, gpu, place.scratch / f"cpu-{algorithm}", SAME))
    return said


def ranks(place: Place) -> list[str]:
    """Two ranks (NCCL; gloo without a GPU) compute what one does. Comes after ``float64``."""
    said = []
    for algorithm in place.size(ALGORITHMS, ALGORITHMS[:1]):
        sets = [*EXACT, f"algorithm={algorithm}", f"steps={place.size(16, 5)}"]
        one = place.scratch / f"one-{algorithm}"
        if not lines(one):
            train(place, one.name, sets)
        said.append(same(algorithm, one, train_on_two_ranks(place, f"two-{algorithm}", sets), SAME))
    sets = [*(word for word in EXACT if not word.startswith("model.norm")), f"steps={place.size(16, 5)}"]
    one = train(place, "one-batch-norm", sets)
    said.append(same("batch norm", one, train_on_two_ranks(place, "two-batch-norm", sets), SAME))
    return [*said, place.size("2 GPUs" if place.gpus > 1 else "2 ranks share the GPU", "gloo")]


def resume(place: Place) -> list[str]:
    """Told to stop, started again, killed, started again: the losses of a run that was left alone."""
    steps, often = place.size(600, 36), place.size(20, 3)
    sets = [*EXACT, f"steps={steps}", f"checkpoint_every={often}"]
    whole = train(place, "whole", sets)
    for number, share in ((signal.SIGUSR2, 3), (signal.SIGKILL, 1.5)):
        _interrupt(place, sets, int(steps / share), number)
    stopped = lines(place.scratch / "halves")
    train(place, "halves", sets)
    said = same("resumed", whole, place.scratch / "halves", 1e-6)
    return [said, f"killed at step {max(stopped)} of {steps}"]


def _interrupt(place: Place, sets: list[str], step: int, number: signal.Signals) -> None:
    with started(command(place, "halves", sets), place, "halves") as process:
        reached = lambda: max(lines(place.scratch / "halves"), default=0) >= step  # noqa: E731
        if not wait_for(reached, process):
            finish(process, place, "halves")
            raise Failed(f"ended before step {step}, where it was to be sent {number.name}")
        process.send_signal(number)
        process.wait()
    state = json.loads((place.scratch / "halves/status.json").read_text())["state"]
    if number == signal.SIGUSR2 and (process.returncode, state) != (0, "preempted"):
        raise Failed(f"after SIGUSR2: exit code {process.returncode}, {state} instead of 0, preempted")


def half(place: Place) -> list[str]:
    """bfloat16 beside float32: the same losses in the first steps, to its three digits."""
    sets = ["mix=calibratemix", "warmup_steps=3", f"steps={place.size(12, 6)}", *QUIET]
    one, other = (train(place, f"precision-{name}", [*sets, f"precision={name}"]) for name in ("fp32", "bf16"))
    return [same("fp32 to bf16", one, other, 0.05, ("loss_labelled",))]


def same(what: str, one: Path, other: Path, most: float, names: Sequence[str] = LOSSES) -> str:
    """The figure; Failed where two runs differ by more than ``most``."""
    found = largest_difference(one, other, names)
    if not found <= most:
        raise Failed(f"{what}: a loss differs by {found:.1e}, more than {most:.0e}")
    return f"{what} {found:.1e}"
