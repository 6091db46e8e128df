"""Which software wrote a data folder."""

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]


def versions() -> dict[str, str]:
    """Versions of what shaped the files; `calibratemix` includes the commit when this is a checkout."""
    found = {"python": platform.python_version()}
    for package in ("numpy", "pillow", "ffcv", "calibratemix"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "unknown"
    commit = _commit()
    if commit:
        found["calibratemix"] += f"+g{commit}"
    return found


def _commit() -> str:
    command = ["git", "rev-parse", "--short=12", "HEAD"]
    if not (CHECKOUT / ".git").exists():  # an installed copy inside some other repository
        return ""
    try:
        done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=10, env=dict(os.environ))
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
