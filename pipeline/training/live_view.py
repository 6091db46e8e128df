"""What a person sees while it trains: a live bar with ETA on a terminal, plain lines elsewhere."""

import time
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


class LiveView:
    """Rank 0's view of a run; on other ranks it stays silent. Use as a context manager."""

    def __init__(self, name: str, steps: int, first_step: int, visible: bool, unit: str = "step") -> None:
        self.console = Console(quiet=not visible, highlight=False)
        self.name, self.steps, self.first_step, self.unit = name, steps, first_step, unit
        self.started = time.monotonic()
        self.trained = self.evaluated = ""
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[numbers]}"),
            console=self.console,
            disable=not visible or not self.console.is_terminal,
        )
        self.task = self.bar.add_task(
            name, total=steps, completed=first_step, numbers="compiling the loader" if unit == "step" else ""
        )

    def __enter__(self) -> "LiveView":
        self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.stop()

    def say(self, text: str) -> None:
        """A line of its own."""
        self.console.print(text, soft_wrap=True)

    def training(self, line: dict[str, Any]) -> None:
        """A training line of metrics.jsonl."""
        rate, masked = line["images_per_second"], 100 * line["mask_rate"]
        impurity = line.get("impurity")  # None where no pseudo-label in use has a known label
        wrong = "" if impurity is None else f"  impurity {100 * impurity:.0f}%"
        self.advance(line["step"], f"loss {line['loss']:.3f}  mask {masked:.0f}%{wrong}  {rate:,.0f} images/s")

    def advance(self, step: int, numbers: str) -> None:
        """``step`` steps are done; ``numbers``: what is to be said of them."""
        self.trained = numbers
        self.bar.update(self.task, completed=step, numbers=numbers + self.evaluated)
        if not self.console.is_terminal:
            done = max(1, step - self.first_step)
            left = (time.monotonic() - self.started) / done * (self.steps - step)
            self.say(f"{self.name}  {self.unit} {step}/{self.steps}  {numbers}  left {_clock(left)}")

    def evaluation(self, line: dict[str, Any]) -> None:
        """An evaluation line of metrics.jsonl."""
        self.evaluated = f"  error {line['error']:.2f}%  ECE {line['ece']:.2f}%"
        self.bar.update(self.task, completed=line["step"], numbers=self.trained + self.evaluated)
        if not self.console.is_terminal:
            self.say(f"{self.name}  step {line['step']}/{self.steps}{self.evaluated}")


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}"
