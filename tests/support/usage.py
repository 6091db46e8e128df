"""What the tests cost: processor seconds of each, child processes and ranks included, and the test process's memory.

Wall time says little on a machine that others use too; these two numbers stay the same.
"""

import os
import resource
import sys
from collections import defaultdict
from collections.abc import Generator

import pytest

from tests.support.team import TEAM

SHOWN = int(os.environ.get("SHOWN", "10"))
MOST_MEMORY = 2048  # MB a test process may reach


def seconds() -> float:
    """Processor time so far of this process, of its children that have ended, and of the ranks' processes."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system + TEAM.seconds


def peak() -> int:
    """The most memory this process ever held, in MB."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most // (1 << 20 if sys.platform == "darwin" else 1 << 10)


class Usage:
    """Notes both with every report, and sums them up in the end."""

    def __init__(self) -> None:
        self.before, self.peak = seconds(), peak()

    def pytest_collection_finish(self) -> None:
        """Imports are no test's growth."""
        self.peak = peak()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        now, most = seconds(), peak()
        report.__dict__.update(cpu_seconds=now - self.before, peak_memory=most, growth=most - self.peak)
        self.before, self.peak = now, most
        return report

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        reports = [r for group in terminalreporter.stats.values() for r in group if hasattr(r, "cpu_seconds")]
        if not reports:
            return
        spent: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
        for report in reports:
            spent[report.nodeid][0] += report.cpu_seconds
            spent[report.nodeid][1] += report.duration
        slowest = sorted(spent, key=lambda name: spent[name][0], reverse=True)[:SHOWN]
        total = sum(cpu for cpu, _ in spent.values())
        terminalreporter.section(f"processor time: {total:.0f} s, the most expensive tests")
        for name in slowest:
            cpu, wall = spent[name]
            terminalreporter.write_line(f"{cpu:7.1f} s  (wall {wall:6.1f} s)  {name}")
        most = max(report.peak_memory for report in reports)
        grown = max(reports, key=lambda report: report.growth)
        said = f"largest test process: {most:,} MB (at most {MOST_MEMORY:,}); grew most in {grown.nodeid}"
        terminalreporter.write_line(said, **({"red": True} if most > MOST_MEMORY else {}))
