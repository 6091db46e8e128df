"""``profile: true``: where the time of a step goes, as a table, and a trace of a few steps for a trace viewer.

The phases of the loop in train.py are timed from outside it, so a run without the option pays nothing. At the end of
each phase the device is waited for: only then does the time belong to the phase. What overlaps in a run (copies,
all-reduces beside the backward pass) is thereby counted where it is waited for.
"""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from rich.table import Table
from torch.profiler import ProfilerActivity, profile, record_function

from pipeline.methods.step_types import Inputs
from pipeline.training.live_view import LiveView
from pipeline.training.training_run import TrainingRun

WARM_UP, TIMED, TRACED = 10, 20, 3  # steps; compiling, first allocations and cudnn's search are over after the first
PHASES = ("data wait", "observe", "pair", "learn", "optimizer", "EMA", "other")


class Phases:
    """Seconds of the loop's phases while it is entered: ``spent`` by name of PHASES in ``steps`` steps.

    learn is forward and backward; pair is margins, partners and mixed images; other is the rest, collectives included.
    """

    def __init__(self, run: TrainingRun) -> None:
        self.run, self.device = run, run.ranks.device
        self.spent = dict.fromkeys(PHASES, 0.0)
        self.steps = 0

    def __enter__(self) -> "Phases":
        run, self._replaced = self.run, list[tuple[Any, str]]()
        self._around(run.passes, "observe", "observe")
        self._around(run.mix, "track", "pair")
        self._around(run.mix, "groups", "pair")
        self._around(run.passes, "learn", "learn", ends=False)
        self._around(run, "agree", "other", before="learn")  # the backward pass lies between
        self._around(run.optimizer, "step", "optimizer")
        self._around(run.ema, "update", "EMA")
        self.mark = time.perf_counter()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for owner, name in self._replaced:
            delattr(owner, name)

    def end(self, phase: str) -> None:
        """What passed since the last end belongs to ``phase``."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        now = time.perf_counter()
        self.spent[phase] += now - self.mark
        self.mark = now

    def _around(self, owner: Any, name: str, phase: str, before: str = "other", ends: bool = True) -> None:
        """Ends ``before`` as ``owner.name`` is called, and ``phase`` as it returns; under its name in the trace."""
        original: Callable[..., Any] = getattr(owner, name)

        def timed(*args: Any, **kwargs: Any) -> Any:
            self.end(before)
            with record_function(f"## {phase}"):
                value = original(*args, **kwargs)
            if ends:
                self.end(phase)
            return value

        setattr(owner, name, timed)
        self._replaced.append((owner, name))


def profiled(run: TrainingRun, folder: Path, view: LiveView) -> Iterator[Inputs]:
    """The batches of ``run.inputs()``; times the steps they are used in, then says and writes what it saw.

    Writes ``profile/steps.json`` (seconds a step of each phase) and ``profile/trace.json`` (chrome://tracing, Perfetto)
    on rank 0. It takes WARM_UP + TIMED + TRACED steps; a run of fewer than WARM_UP has nothing to say.
    """
    inputs = run.inputs()
    yield from _some(inputs, WARM_UP)
    with Phases(run) as phases:
        for each in _waited_for(inputs, phases):
            yield each
            phases.end("other")
            phases.steps += 1
    if not phases.steps:
        return
    file = folder / "profile/trace.json"
    if run.ranks.is_main:
        file.parent.mkdir(exist_ok=True)
        report(phases, file.with_name("steps.json"), view)
    with Phases(run), profile(activities=_activities(run)) as trace:
        yield from _some(inputs, TRACED)
    if run.ranks.is_main:
        trace.export_chrome_trace(str(file))
        view.say(f"trace: {file} (open it in ui.perfetto.dev)")
    yield from inputs


def report(phases: Phases, file: Path, view: LiveView) -> None:
    """The table, on the screen and as JSON."""
    each = {phase: seconds / phases.steps for phase, seconds in phases.spent.items()}
    total = sum(each.values())
    file.write_text(json.dumps({"steps": phases.steps, "seconds_per_step": total, **each}, indent=1) + "\n")
    view.say(f"a step takes {1e3 * total:.1f} ms, mean of {phases.steps} steps on rank 0:")
    table = Table()
    table.add_column("phase")
    table.add_column("ms", justify="right")
    table.add_column("%", justify="right")
    for phase, seconds in each.items():
        table.add_row(phase, f"{1e3 * seconds:.2f}", f"{100 * seconds / total:.1f}")
    view.console.print(table)
    progress, config = phases.run.progress, phases.run.config
    if config.mix != "none" and progress.step <= config.warmup:
        view.say(f"no images are mixed before step {config.warmup}: warmup_steps=0 shows what that costs")


def _some(inputs: Iterator[Inputs], count: int) -> Iterator[Inputs]:
    for _, each in zip(range(count), inputs, strict=False):
        yield each


def _waited_for(inputs: Iterator[Inputs], phases: Phases) -> Iterator[Inputs]:
    for each in _some(inputs, TIMED):
        phases.end("data wait")
        yield each


def _activities(run: TrainingRun) -> list[ProfilerActivity]:
    cuda = [ProfilerActivity.CUDA] if run.ranks.device.type == "cuda" else []
    return [ProfilerActivity.CPU, *cuda]
