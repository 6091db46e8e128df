"""What environment.json says of a run."""

import json
import sys

import pytest

from pipeline.runs.environment import PACKAGES, environment


def test_it_names_commit_versions_and_hardware(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALIBRATEMIX_COMMIT", "c0ffee")
    found = environment("fp32", ranks=2, threads=3, on_gpu=False)
    assert (found["git"], found["command"], found["ranks"], found["threads"]) == ("c0ffee", sys.argv, 2, 3)
    assert set(found["versions"]) == {"python", *PACKAGES}
    assert found["device"] and json.dumps(found)
