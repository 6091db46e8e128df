"""Kills a run again and again and compares its end with a run that nobody disturbed. Not a test of the suite: minutes.

    python -m tests.support.kills DATA --ranks 2 --kills 20 --seed 0

In turn one rank, torchrun and all of them get SIGKILL, at a random moment of training or while a checkpoint is written.
The same command goes on until the run is finished.
"""

import argparse
import contextlib
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

from tests.support.launch import children, gone, lines, result, small, torchrun, wait_for


def main() -> int:
    """0 where metrics.jsonl and result.json are the same, line by line."""
    parser = argparse.ArgumentParser(description="Kill and resume.")
    parser.add_argument("data", help="the folder that holds digits/")
    for name, default in (("ranks", 2), ("kills", 20), ("seed", 0), ("steps", 3000)):
        parser.add_argument(f"--{name}", type=int, default=default)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        whole, killed = Path(folder) / "whole", Path(folder) / "killed"
        sets = [f"data={given.data}", f"steps={given.steps}", "log_every=7", "checkpoint_every=5", "eval_every=1000"]
        torchrun(given.ranks, small(*sets, f"out={whole}")).communicate()
        done = disturb(given, [*sets, f"out={killed}"], killed)
        output, _ = torchrun(given.ranks, small(*sets, f"out={killed}")).communicate()
        same = lines(whole) == lines(killed) and result(whole) == result(killed)
        print(f"{given.ranks} ranks: {done} kills, {len(lines(killed))} lines, {'the same' if same else 'DIFFERENT'}")
        if not same:
            print(output)
    return 0 if same else 1


def disturb(given: argparse.Namespace, sets: list[str], out: Path) -> int:
    """Kills; how often the run was still alive when it was hit."""
    dice, hits = random.Random(given.seed), 0
    for number in range(given.kills):
        process, began = torchrun(given.ranks, small(*sets)), time.time()
        wait_for(lambda: newer(out, "checkpoints/step-*", began) or process.poll() is not None)  # noqa: B023
        time.sleep(dice.uniform(0, 1.5))
        if number % 2:
            now = time.time()
            wait_for(lambda: newer(out, "checkpoints/.step-*", now) or process.poll() is not None)  # noqa: B023
        ranks = children(process.pid)
        victims = ([dice.choice(ranks or [process.pid])], [process.pid], [process.pid, *ranks])[number % 3]
        hits += process.poll() is None
        for victim in victims:
            if process.poll() is None or victim != process.pid:
                kill(victim)
        process.communicate()
        wait_for(lambda: gone(ranks), 60)  # noqa: B023
        newest = max((p.name for p in out.glob("checkpoints/step-*")), default="none")
        print(
            f"kill {number + 1}: {len(victims)} of {len(ranks) + 1} processes, newest checkpoint {newest}", flush=True
        )
    return hits


def newer(out: Path, pattern: str, since: float) -> bool:
    """Something of that name was made after ``since``."""
    with contextlib.suppress(FileNotFoundError):
        return any(path.stat().st_mtime > since for path in out.glob(pattern))
    return False


def kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main())
