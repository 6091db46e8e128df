"""Reads a network's weights: from a file, whoever wrote it, or from a finished run of this project."""

import json
import warnings
from pathlib import Path
from pickle import UnpicklingError
from zipfile import BadZipFile

import torch
import torch.distributed.checkpoint as dcp
from torch import Tensor
from torch.distributed.checkpoint.api import CheckpointException

from pipeline import config
from pipeline.runs.checkpoints import finished_checkpoints
from pipeline.runs.read import read_result

State = dict[str, Tensor]
WRAPPERS = ("state_dict_ema", "model_ema", "state_dict", "model")  # under which public code keeps the weights
PREFIXES = ("_orig_mod.", "module.")  # of torch.compile and DDP
EVALUATED = {"ema": "ema.module.", "raw": "model."}  # evaluation.weights -> where a checkpoint has them
SUFFIXES = (".pt", ".pth", ".safetensors")


def file_weights(path: Path, option: str) -> State:
    """Tensors by name, on the CPU. ValueError naming the file and ``option`` where it holds none."""
    if path.suffix not in SUFFIXES:
        raise ValueError(f"{option}={path}: neither a run folder nor a file that ends in {', '.join(SUFFIXES)}")
    try:
        found = (
            _safe_tensors(path)
            if path.suffix == ".safetensors"
            else _unwrapped(torch.load(path, "cpu", weights_only=True))
        )
    except (OSError, RuntimeError, EOFError, UnpicklingError, BadZipFile, ValueError) as error:
        reason = next(iter(str(getattr(error, "strerror", None) or error).splitlines()), type(error).__name__)
        raise ValueError(f"{option}={path}: cannot be read ({reason}); give a file of weights alone") from error
    return {_bare(name): tensor for name, tensor in found.items()}


def run_weights(run: Path, option: str) -> State:
    """The evaluated weights of the last step of a run. ValueError where it is none, or has not finished."""
    if not (run / "config.yaml").is_file():
        raise ValueError(f"{option}={run}: not a run folder: it holds no config.yaml")
    read_result(run / "result.json")  # raises where it has not finished
    there = finished_checkpoints(run / "checkpoints")
    if not there:
        raise ValueError(f"{option}={run}: its checkpoints are gone; train it again")
    return checkpoint_tensors(there[-1], EVALUATED[config.load(run / "config.yaml").evaluation.weights])


def run_classes(run: Path) -> list[str] | None:
    """The names of the classes that a run was trained on; None where its data folder is gone."""
    options = config.load(run / "config.yaml")
    try:
        return list(json.loads((Path(options.data) / options.dataset / "manifest.json").read_text())["classes"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def checkpoint_tensors(path: Path, prefix: str) -> State:
    """The tensors of a checkpoint whose names begin with ``prefix``, without it; each process reads all by itself.

    ValueError where the files are damaged.
    """
    try:
        described = dcp.FileSystemReader(path).read_metadata().state_dict_metadata
        state = {
            name: torch.empty(about.size, dtype=about.properties.dtype)
            for name, about in described.items()
            if name.startswith(prefix) and isinstance(about, dcp.metadata.TensorStorageMetadata)
        }
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns that it loads in one process, as it is told to
            dcp.load(state, checkpoint_id=path, no_dist=True)
    except (CheckpointException, RuntimeError, ValueError, KeyError, OSError, EOFError, UnpicklingError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[-1]
        raise ValueError(f"{path}: cannot be loaded ({reason})") from error
    return {name.removeprefix(prefix): tensor for name, tensor in state.items()}


def _safe_tensors(path: Path) -> State:
    try:
        from safetensors.torch import load_file
    except ImportError as error:
        raise ValueError("safetensors is not installed: pip install 'calibratemix[export]'") from error
    try:
        return dict(load_file(path))
    except (OSError, ValueError):
        raise
    except Exception as error:  # a SafetensorError, which has no public name
        raise ValueError(str(error)) from error


def _unwrapped(loaded: object) -> State:
    """The tensors of what a file holds, out of the dictionary around them. Raises ValueError."""
    if isinstance(loaded, dict):
        inner = next((loaded[name] for name in WRAPPERS if isinstance(loaded.get(name), dict)), loaded)
        tensors = {name: value for name, value in inner.items() if isinstance(value, Tensor)}
        if tensors:
            return tensors
    raise ValueError("it holds no tensors by name")


def _bare(name: str) -> str:
    for prefix in PREFIXES:
        name = name.removeprefix(prefix)
    return name
