"""Whether this project is right and fast on this machine's GPUs: a table of checks, in under ten minutes.

    make gpu-check                    # on a machine with one or more GPUs
    make gpu-check PRETEND=1          # without: the same checks small and on the CPU, and the step on fake CUDA tensors
    python benchmarks/check_gpu.py --only float64 ranks

It needs no network and no data set: it trains on the embedded digits and on noise made on the spot, in a temporary
folder.
Exit code: 0 where every check passes, 1 where one does not, 2 without a GPU that torch can use.
"""

import argparse
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from gpu_check import correct, machine, speed
from gpu_check.runs import Failed, Place

Check = Callable[[Place], list[str]]
CHECKS: dict[str, tuple[str, Check]] = {
    "machine": ("devices and versions", machine.machine),
    "digits": ("digits learn", correct.digits),
    "waits": ("no step waits for the device", correct.waits),
    "float64": ("float64: GPU = CPU", correct.float64),
    "ranks": ("float64: two ranks = one", correct.ranks),
    "resume": ("stopped, killed, resumed", correct.resume),
    "half": ("bf16 close to fp32", correct.half),
    "step": ("WRN-28-2, 64 + 448, eager", speed.step),
    "loader": ("loader beside the step", speed.loader),
    "photos": ("ResNet-50, 224 px", speed.photo_step),
    "compiled": ("WRN-28-2, compiled", speed.compiled),
}
NO_GPU = "check_gpu.py: error: torch sees no GPU here (see make doctor); make gpu-check PRETEND=1 checks on the CPU"
LIMIT = 240  # seconds that one check may take


def main() -> int:
    """The command line; returns the exit code."""
    given = _parser().parse_args()
    gpus = 0 if given.pretend else machine.usable_gpus()
    if not gpus and not given.pretend:
        print(NO_GPU, file=sys.stderr)
        return 2
    started = time.monotonic()
    verdicts = []
    with tempfile.TemporaryDirectory() as scratch:
        place = Place(Path(scratch), gpus)
        for name in given.only or CHECKS:
            left = 60 * given.minutes - (time.monotonic() - started)
            verdicts.append(row(name, place, min(LIMIT, left) if gpus else None))
    passed = verdicts.count("PASS")
    print(f"{passed} of {len(verdicts)} checks pass, {time.monotonic() - started:.0f} s")
    return 0 if passed == len(verdicts) else 1


def row(name: str, place: Place, seconds: float | None) -> str:
    """Makes the check within ``seconds`` and prints its row; the verdict: PASS, FAIL, or SKIP where no time is left."""
    title, check = CHECKS[name]
    started = time.monotonic()
    try:
        if seconds is not None and seconds < 1:
            verdict, said = "SKIP", [f"no time left; alone: python benchmarks/check_gpu.py --only {name}"]
        else:
            with limit(seconds or 0):
                verdict, said = "PASS", check(place)
    except Failed as failure:
        verdict, said = "FAIL", [str(failure)]
    except (Exception, SystemExit) as error:  # the next check may still tell something
        verdict, said = "FAIL", [f"{type(error).__name__}: {error}"]
    print(f"{verdict}  {title:32} {time.monotonic() - started:5.0f} s  {'; '.join(said)}", flush=True)
    return verdict


@contextmanager
def limit(seconds: float) -> Iterator[None]:
    """Raises Failed in what takes longer, and what it started ends with it; 0: nothing does."""

    def ring(number: int, frame: FrameType | None) -> None:
        raise Failed(f"not done within {seconds:.0f} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--pretend", action="store_true", help="on the CPU, with small sizes, gloo, and fake CUDA tensors")
    add("--only", nargs="+", choices=list(CHECKS), metavar="CHECK", help=f"some of: {', '.join(CHECKS)}")
    add("--minutes", type=float, default=10, help="on a GPU: by when all must be done (default 10)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
