"""manifest.json: what a data folder holds and what it was made from."""

import hashlib
import json
import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

FORMAT = 1
Manifest = dict[str, Any]


def file_sha256(path: Path) -> str:
    """sha256 of a file, read in pieces, so that `sha256sum` can check it."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def describe(path: Path) -> dict[str, Any]:
    """{"bytes", "sha256"} of a file."""
    return {"bytes": path.stat().st_size, "sha256": file_sha256(path)}


def read(folder: Path) -> Manifest:
    """The manifest of a finished data folder.

    Raises ValueError when there is none or it is of another format.
    """
    file = folder / "manifest.json"
    remedy = f"remove {folder} or use another --out or --name"
    try:
        manifest = json.loads(file.read_text())
    except FileNotFoundError as error:
        raise ValueError(f"{folder} exists but holds no manifest.json; {remedy}") from error
    except ValueError as error:
        raise ValueError(f"{file} is damaged; {remedy}") from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise ValueError(f"{file} is not of format {FORMAT}; {remedy}")
    return manifest


def write(folder: Path, manifest: Manifest) -> None:
    """Write or replace manifest.json in one step."""
    temporary = folder / ".manifest.json.partial"
    temporary.write_text(json.dumps(manifest, indent=1) + "\n")
    temporary.replace(folder / "manifest.json")


def channel_statistics(sums: NDArray[np.int64], pixels: int) -> tuple[list[float], list[float]]:
    """Mean and standard deviation (of the population) per channel, in [0,1], from int64 sums [2,3]."""
    mean = sums[0] / pixels
    # Exact integers up to here, so the difference of squares loses nothing that matters.
    std = np.sqrt(np.maximum(sums[1] / pixels - mean**2, 0.0))
    return [float(m) for m in mean / 255], [float(s) for s in std / 255]


def class_counts(labels: NDArray[np.int64], num_classes: int) -> list[int]:
    """Images of each class; label -1 is counted nowhere."""
    return [int(n) for n in np.bincount(labels[labels >= 0], minlength=num_classes)]


def versions() -> dict[str, str]:
    """Versions of what shaped the files; `calibratemix` carries the commit when this is a checkout."""
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
    here = Path(__file__).resolve().parent.parent
    if not (here / ".git").exists():  # an installed copy inside some other repository
        return ""
    try:
        done = subprocess.run(command, cwd=here, capture_output=True, text=True, timeout=10, env=dict(os.environ))
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
