"""Tables that tests print whether they pass or not: ``record_property("table", text)``, from any process."""

import pytest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = [r for group in terminalreporter.stats.values() for r in group if getattr(r, "when", "") == "call"]
    for text in (text for report in reports for name, text in report.user_properties if name == "table"):
        terminalreporter.section("table")
        terminalreporter.write_line(str(text))
