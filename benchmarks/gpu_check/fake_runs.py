"""Many combinations of options on pretended CUDA, in processes of their own, and the table of what steps launch."""

import gc
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context

from gpu_check.cover import Case, settings

# What the table shows: name, options. In bfloat16, as on a GPU by default.
SHOWN: tuple[tuple[str, str], ...] = (
    ("WRN-28-2 FixMatch", "model.name=wrn-28-2"),
    ("WRN-28-2 + CalibrateMix", "model.name=wrn-28-2 mix=calibratemix"),
    ("WRN-28-2 + CalibrateMix, observe", "model.name=wrn-28-2 mix=calibratemix forward=observe"),
    ("WRN-28-2 FlexMatch + CalibrateMix", "model.name=wrn-28-2 algorithm=flexmatch mix=calibratemix"),
    ("WRN-28-2 SoftMatch, release", "model.name=wrn-28-2 algorithm=softmatch recipe=release mix=calibratemix"),
    ("ResNet-50 + CalibrateMix", "model.name=resnet-50 mix=calibratemix"),
)
MOST_TASKS = 100  # in one process, which takes some 6 MB each
BOOKKEEPING = ("label", "track", "pair", "mix", "remember", "settle", "log")


@dataclass(frozen=True)
class Tried:
    """A combination, what one step of it launched by phase, and in one line why it failed; empty where it did not."""

    case: Case
    launched: Counter[str]
    error: str = ""


@contextmanager
def pretending(processes: int = 1) -> Iterator[Executor]:
    """Processes that believe in a GPU. Each ends after some combinations: what they leave behind is never collected."""
    with ProcessPoolExecutor(
        processes, get_context("spawn"), initializer=_begin, max_tasks_per_child=MOST_TASKS
    ) as pool:
        yield pool


def _begin() -> None:
    warnings.filterwarnings("ignore", message="Accessing the data pointer of FakeTensor")
    import torch

    from gpu_check.fake_cuda import pretend_cuda

    torch.set_num_threads(1)
    gc.disable()  # collecting a fake graph with a backward function of Python ends the process (torch 2.15)
    pretend_cuda()


def attempt(case: Case, steps: int = 1) -> Tried:
    """In a process of ``pretending``: so many steps of the combination."""
    from gpu_check.fake_step import launches

    sets, world = settings(case)
    try:
        return Tried(case, launches(sets, world, steps))
    except Exception as error:
        return Tried(case, Counter(), f"{type(error).__name__}: {str(error).splitlines()[0]}")


def counted(pool: Executor, world: int, shown: Sequence[tuple[str, str]] = SHOWN) -> list[tuple[str, Tried]]:
    """The rows of the table, by name."""
    base = {"precision": "bf16", "ranks": str(world)}
    cases = [base | dict(word.split("=") for word in words.split()) for _, words in shown]
    tried = pool.map(attempt, cases, [2] * len(cases))
    return [(name, each) for (name, _), each in zip(shown, tried, strict=True)]


def table(rows: Sequence[tuple[str, Tried]], world: int) -> str:
    """Operations that a step launches, a column for each act of it."""
    from gpu_check.fake_step import PHASES

    lines = [f"{f'launches a step, {world} rank(s)':36}" + "".join(f"{phase:>10}" for phase in (*PHASES, "sum"))]
    for name, tried in rows:
        counts = [tried.launched[phase] for phase in PHASES]
        numbers = "".join(f"{count:10}" for count in (*counts, sum(counts)))
        lines.append(f"{name:36}{tried.error or numbers}")
    return "\n".join(lines)


def bookkeeping(tried: Tried) -> int:
    """Operations that are neither network, loss, optimizer nor moving average."""
    return sum(tried.launched[phase] for phase in BOOKKEEPING)


def failures(tried: Sequence[Tried]) -> list[str]:
    """A line for each combination that failed."""
    return [f"{' '.join(f'{k}={v}' for k, v in each.case.items())}: {each.error}" for each in tried if each.error]
