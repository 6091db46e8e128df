"""Networks of timm: ``model.name: timm/NAME``, any image classifier of it (pip install 'calibratemix[timm]').

The body is timm's network without its classifier, so the features are those of its pooled layer; the head is the
classifier. Weights are another file's business (training/starting_weights.py).
"""

import difflib
import sys
from functools import lru_cache
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from pipeline.config.sections import TIMM, ModelConfig
from pipeline.models.headed import Headed, Parts

State = dict[str, Tensor]


def is_backbone(name: str) -> bool:
    """Whether ``model.name`` asks for a network of timm."""
    return name.startswith(TIMM)


def check_name(name: str) -> None:
    """ValueError where timm is not there or has no such network."""
    timm, short = _timm(name), name.removeprefix(TIMM)
    if timm.is_model(short):
        return
    arch = short.partition(".")[0]
    near = difflib.get_close_matches(arch, timm.list_models(), 1)
    hint = f"did you mean {TIMM}{near[0]}?" if near else "timm.list_models() has them"
    raise ValueError(f"model.name={name}: timm {timm.__version__} has no network {arch!r}; {hint}")


def check_images(config: ModelConfig, image_size: int) -> None:
    """ValueError where the network does not answer images of ``image_size`` px with features. Without its memory."""
    unread(config, image_size)


@lru_cache(maxsize=1)
def unread(config: ModelConfig, image_size: int) -> frozenset[str]:
    """The body's parameters that no feature depends on, which nothing can train. Raises ValueError as `check_images`.

    Found by a pass forwards and backwards that computes shapes only, also where the caller wants no gradients.
    """
    with torch.device("meta"), torch.inference_mode(False), torch.enable_grad():
        parts = backbone(config, 2, image_size)
        _check_patches(config, parts.body, image_size)
        try:
            features = parts.body(torch.zeros(2, 3, image_size, image_size))
        except Exception as error:
            raise ValueError(_refused(config, image_size, error)) from error
        if features.shape != (2, parts.head.in_features):
            raise ValueError(
                f"model.name={config.name}: it has no pooled features before its classifier; choose another"
            )
        features.sum().backward()
    return frozenset(name for name, parameter in parts.body.named_parameters() if parameter.grad is None)


def backbone(config: ModelConfig, num_classes: int, image_size: int) -> Parts:
    """timm's network with its own first weights, for images of ``image_size`` px. ValueError where it cannot be made.

    A network of one image size, such as a vision transformer, is made for ``image_size``; batch norms keep their eps.
    """
    timm, given = _timm(config.name), _given(config, image_size)
    try:
        network = timm.create_model(**given, num_classes=num_classes)
    except (TypeError, ValueError, AssertionError, RuntimeError) as error:
        raise ValueError(_refused(config, image_size, error)) from error
    head, layers = network.get_classifier(), _layers(network)
    undecayed = frozenset(f"body.{name}" for name in getattr(network, "no_weight_decay", set)())
    network.reset_classifier(0)
    if not isinstance(head, nn.Linear):  # a convolution, or one head beside another
        head = nn.Linear(network.head_hidden_size, num_classes)
        nn.init.trunc_normal_(head.weight, std=0.02)
        nn.init.zeros_(head.bias)
    for module in network.modules():
        if isinstance(module, _BatchNorm):
            module.momentum = config.norm_momentum
    return Parts(network, head, layers=layers, undecayed=undecayed)


def published(config: ModelConfig, image_size: int) -> State:
    """The weights that timm itself fetches for the network, by its names. ValueError where there are none."""
    timm, given = _timm(config.name), _given(config, image_size)
    try:
        return dict(timm.create_model(**given, pretrained=True).state_dict())
    except Exception as error:  # no such weights, or whatever the client of the hub raises
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise ValueError(f"model.weights=timm: none for {config.name} ({reason}); give a local file") from error


def adapted(state: State, model: Headed) -> State:
    """``state`` by timm's names, classifier and all, by ours: ``body.`` and ``head.``; positions resampled by timm."""
    convert = getattr(sys.modules[type(model.body).__module__], "checkpoint_filter_fn", None)
    if convert is not None:
        state = convert(state, model.body)
    given = _classifiers(model.body)
    renamed = {f"{each}.{leaf}": f"head.{leaf}" for each in given[:1] for leaf in ("weight", "bias")}
    others = tuple(f"{each}." for each in given[1:])
    return {
        renamed.get(name, f"body.{name}"): t for name, t in state.items() if not (others and name.startswith(others))
    }


def network_statistics(name: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation by channel that timm's weights of the network were trained with; ValueError where unknown."""
    config = _timm(name).get_pretrained_cfg(name.removeprefix(TIMM))
    if config is None:  # a network that somebody else registered
        raise ValueError(f"augment.normalisation=timm: timm has no mean and deviation for {name}; choose another")
    return tuple(config.mean), tuple(config.std)


def native_size(name: str) -> int | None:
    """Pixels of the images that timm's weights of the network were trained on; None where timm does not know."""
    config = _timm(name).get_pretrained_cfg(name.removeprefix(TIMM))
    return None if config is None else int(config.input_size[-1])


def _timm(name: str) -> ModuleType:
    try:
        import timm
    except ImportError as error:
        raise ValueError(f"model.name={name}: timm is not installed; pip install 'calibratemix[timm]'") from error
    return timm


def _given(config: ModelConfig, image_size: int) -> dict[str, Any]:
    """Arguments of timm.create_model, which leaves out those of None and refuses those that a network lacks."""
    name = config.name.removeprefix(TIMM)
    native = _timm(config.name).get_pretrained_cfg(name)
    other_size = native is not None and native.fixed_input_size and native.input_size[-1] != image_size
    return {
        "model_name": name,
        "drop_path_rate": config.drop_path,
        "patch_size": config.patch_size,
        "img_size": image_size if other_size else None,
    }


def _check_patches(config: ModelConfig, body: nn.Module, image_size: int) -> None:
    patch = getattr(getattr(body, "patch_embed", None), "patch_size", (1,))[0]
    if image_size % patch:
        raise ValueError(
            f"model.name={config.name}: patches of {patch} px do not fill images of {image_size} px; make the data "
            f"folder with --image-size {-(-image_size // patch) * patch}, or set model.patch_size"
        )


def _refused(config: ModelConfig, image_size: int, error: Exception) -> str:
    reason = next(iter(str(error).splitlines()), type(error).__name__)
    asked = [f"model.{n}={v}" for n in ("patch_size", "drop_path") if (v := getattr(config, n)) is not None]
    return f"model.name={config.name}: refuses images of {image_size} px{''.join(f', {a}' for a in asked)} ({reason})"


def _classifiers(network: Any) -> tuple[str, ...]:
    """Names of the classifier's modules; of two heads, the one that stays first."""
    named = network.pretrained_cfg["classifier"]
    return (named,) if isinstance(named, str) else tuple(named)


def _layers(network: Any) -> dict[str, int]:
    """The layer of each parameter by our names, from 0 at the images to the classifier's; {} where timm has none."""
    from timm.models import group_parameters

    try:
        numbers = group_parameters(network, network.group_matcher(coarse=False), reverse=True)
    except (AttributeError, NotImplementedError):
        return {}
    heads = tuple(f"{each}." for each in _classifiers(network))
    body = {f"body.{name}": number for name, number in numbers.items() if not name.startswith(heads)}
    last = max(numbers.values())
    return body | {"head.weight": last, "head.bias": last}
