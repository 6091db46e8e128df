"""The peer: PyPI's ``semilearn`` (USB), in an environment of its own that is made on first use.

    python benchmarks/peer.py        # make .venv-peer now (half a minute), say what is in it

``.venv-peer`` holds semilearn without its dependencies (they do not fit a current torch), and of these what its image
code needs. torch, torchvision, numpy and Pillow are this project's own, behind the peer's packages on the path, so
that both sides compute with the same libraries. torchaudio, aim and wandb (sound and experiment trackers, imported
but never called here) are empty modules: see ``stub``.
"""

import shutil
import subprocess
import sys
import sysconfig
import venv
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

FOLDER = Path(__file__).parent.parent / ".venv-peer"
PEER = "semilearn==0.3.2"
NEEDED = ("timm", "transformers<6", "ruamel.yaml", "progress", "scikit-image")
STUBBED = ("torchaudio", "aim", "wandb")


def python() -> str:
    """The peer's Python; makes the environment where it is missing or another one's. ValueError without network."""
    ours = sysconfig.get_path("purelib")
    recipe = "\n".join([PEER, *NEEDED, ours, sys.version])
    done = FOLDER / "recipe.txt"
    if not done.exists() or done.read_text() != recipe:
        _make(ours)
        done.write_text(recipe)
    return str(FOLDER / "bin" / "python")


def _make(ours: str) -> None:
    print(f"making {FOLDER} with {PEER} (once)", file=sys.stderr, flush=True)
    shutil.rmtree(FOLDER, ignore_errors=True)
    venv.create(FOLDER, symlinks=True)
    packages = next(FOLDER.glob("lib/python*/site-packages"))
    (packages / "project.pth").write_text(f"{ours}\n")
    _install(*NEEDED)
    _install("--no-deps", PEER)


def _install(*words: str) -> None:
    where = str(FOLDER / "bin" / "python")
    command = [sys.executable, "-m", "pip", "--python", where, "--disable-pip-version-check", "install", "-q", *words]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or done.stderr.splitlines()
        raise ValueError(
            f"{FOLDER}: pip could not install {words[-1]} ({lines[-1] if lines else 'no message'}); "
            "the comparison with the peer needs the package index once: run it again with network"
        )


def stub() -> None:
    """In the peer's Python, before ``import semilearn``: empty modules for what it imports and never calls here."""
    for name in STUBBED:
        sys.modules[name] = ModuleType(name)
        sys.modules[name].__spec__ = ModuleSpec(name, None)  # transformers looks for it


if __name__ == "__main__":
    try:
        where = python()
    except ValueError as error:
        sys.exit(f"peer.py: error: {error}")
    subprocess.run([sys.executable, "-m", "pip", "--python", where, "list", "--local"], check=True)
