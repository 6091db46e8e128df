"""A copy of the code for the jobs to run, so that editing the checkout does not change what is queued."""

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

PARTS = ("pipeline", "slurm")


def location(project: Path, into: Path) -> Path:
    """The folder of the copy: ``into``/<hash of the content>."""
    digest = hashlib.sha256()
    for file in _files(project):
        digest.update(f"{file}\0".encode() + (project / file).read_bytes() + b"\0")
    return into / digest.hexdigest()[:12]


def take(project: Path, folder: Path) -> None:
    """Copies the packages to ``folder``, whole or not at all; the same content is copied only once.

    Compiled kernels are copied too, or every rank of the first jobs would compile them again: numba finds them by the
    modification times of the sources, which a copy keeps.
    """
    if folder.exists():
        return
    partial = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
    files = _files(project)
    caches = {file.parent / "__pycache__" for file in files}
    kernels = [path.relative_to(project) for cache in caches for path in (project / cache).glob("*.nb[ci]")]
    for file in files + kernels:
        (partial / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(project / file, partial / file)
    try:
        partial.rename(folder)
    except OSError:  # another submission was faster
        shutil.rmtree(partial)


def commit(project: Path) -> str:
    """The checkout's commit, with "-dirty" where it has been edited since; "unknown" outside of git."""
    return _git(project, "describe", "--always", "--dirty", "--abbrev=40").strip() or "unknown"


def _files(project: Path) -> list[Path]:
    """What git tracks or would add; outside of git everything but caches."""
    listed = _git(project, "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *PARTS)
    names = [Path(name) for name in listed.split("\0") if name]
    if not names:
        found = (path for part in PARTS for path in (project / part).rglob("*") if "__pycache__" not in path.parts)
        names = [path.relative_to(project) for path in found]
    return sorted(name for name in names if (project / name).is_file())


def _git(project: Path, *arguments: str) -> str:
    if not (project / ".git").exists():  # a copy that lies in somebody else's checkout
        return ""
    try:
        return subprocess.run(["git", "-C", str(project), *arguments], capture_output=True, text=True).stdout
    except OSError:
        return ""
