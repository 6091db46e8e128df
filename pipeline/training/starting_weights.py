"""The weights that a run starts from: ``model.weights`` is a file, a run folder of this project, or timm's own.

Everything but the classifier has to fit, tensor by tensor. The classifier stays where the classes agree, and is drawn
anew with a line about it where they do not.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor, nn

from pipeline.config import Config
from pipeline.data.dataset import Dataset
from pipeline.models.backbones import adapted, is_backbone, native_size, published
from pipeline.models.headed import Headed
from pipeline.training.saved_weights import State, file_weights, run_classes, run_weights

COUNT = "num_batches_tracked"  # of batch norm: older files lack it, and nothing reads it
HEADS = ("head.weight", "head.bias")
OTHER_HEADS = ("head", "fc", "mlp", "classifier", "projector")  # what pretraining leaves beside a network


@dataclass(frozen=True)
class Start:
    """``state``: tensors by the network's names, of all that is not drawn. ``notes``: lines for the user."""

    state: State
    notes: list[str] = field(default_factory=list)


def starting_weights(config: Config, dataset: Dataset, model: nn.Module) -> Start:
    """What ``model`` (its tensors may be on the meta device) starts from; nothing where ``model.weights`` is empty.

    ValueError where there is nothing to read, or weights of another network.
    """
    given = config.model.weights
    if not given:
        return Start({})
    find = SOURCES.get(given, _of_run if Path(given).is_dir() else _of_file)
    state, told = find(config, dataset, model)
    start = fitted(state, model, f"model.weights={given}")
    return Start(start.state, [*told, *start.notes, *_about_sizes(config, dataset)])


def fitted(state: Mapping[str, Tensor], model: nn.Module, where: str) -> Start:
    """``state`` without a classifier of other classes. ValueError naming the first tensor that differs."""
    wanted = model.state_dict()
    body = [name for name in wanted if name not in HEADS and not (name.endswith(COUNT) and name not in state)]
    for name in body:
        if name not in state:
            raise ValueError(f"{where}: has no tensor {_plain(name)}, so these are the weights of another network")
        if state[name].shape != wanted[name].shape:
            there, here = (tuple(each[name].shape) for each in (state, wanted))
            raise ValueError(
                f"{where}: {_plain(name)} is {there} there and {here} in model.name: weights of another network"
            )
    more = [name for name in state if name not in wanted and not _plain(name).startswith(OTHER_HEADS)]
    if more:
        raise ValueError(f"{where}: has {_plain(more[0])}, which model.name has not: weights of another network")
    keeps = all(name in state and state[name].shape == wanted[name].shape for name in HEADS)
    kept = {name: state[name] for name in (*body, *(HEADS if keeps else ()))}
    return Start(kept, [] if keeps else [_replaced(state, len(wanted[HEADS[0]]), where)])


def _replaced(state: Mapping[str, Tensor], classes: int, where: str) -> str:
    there = f"of {len(state[HEADS[0]])} classes is replaced" if HEADS[0] in state else "is not there"
    return f"{where}: its classifier {there}; one of {classes} classes is drawn"


def _plain(name: str) -> str:
    """As the file of a network of timm has it."""
    return name.removeprefix("body.")


def _of_timm(config: Config, dataset: Dataset, model: nn.Module) -> tuple[State, list[str]]:
    assert isinstance(model, Headed)
    return adapted(published(config.model, dataset.image_size), model), []


def _of_file(config: Config, dataset: Dataset, model: nn.Module) -> tuple[State, list[str]]:
    """A file by this project's names, such as an exported one, or by timm's."""
    state = file_weights(Path(config.model.weights), "model.weights")
    return _ours(config, state, model), []


def _of_run(config: Config, dataset: Dataset, model: nn.Module) -> tuple[State, list[str]]:
    """The evaluated weights of a finished run; its classifier where it was trained on the same classes."""
    run = Path(config.model.weights)
    state, classes = _ours(config, run_weights(run, "model.weights"), model), run_classes(run)
    if classes == dataset.classes or not all(name in state for name in HEADS):
        return state, []
    why = "classes that its data folder no longer tells" if classes is None else "other classes"
    rest = {name: tensor for name, tensor in state.items() if name not in HEADS}
    return rest, [f"model.weights={run}: was trained on {why}"]


def _ours(config: Config, state: State, model: nn.Module) -> State:
    """By our names; of timm's networks resampled to this size of images. ValueError where timm cannot read them."""
    if not is_backbone(config.model.name):
        return state
    assert isinstance(model, Headed)
    own = any(name.startswith("body.") for name in state)
    heads = {name: tensor for name, tensor in state.items() if own and name in HEADS}
    named = {name.removeprefix("body."): tensor for name, tensor in state.items() if name not in heads}
    try:
        return adapted(named, model) | heads
    except (KeyError, RuntimeError, AttributeError, ValueError, IndexError) as error:
        reason = f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')}"
        raise ValueError(f"model.weights={config.model.weights}: weights of another network ({reason})") from error


def _about_sizes(config: Config, dataset: Dataset) -> list[str]:
    native = native_size(config.model.name) if is_backbone(config.model.name) else None
    if native in (None, dataset.image_size):
        return []
    return [f"{config.model.name}: timm has it for images of {native} px, {dataset.folder} has {dataset.image_size}"]


SOURCES: dict[str, Callable[[Config, Dataset, nn.Module], tuple[State, list[str]]]] = {"timm": _of_timm}
