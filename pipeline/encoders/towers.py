"""CLIP's image tower, or any network of timm, as an encoder: from a file of weights, never from the network.

Both libraries are optional (``pip install calibratemix[encoders]``) and imported where they are needed.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from pipeline.encoders.encoder import Encoder
from pipeline.encoders.options import EncoderName
from pipeline.generator.weights import read_tensors

EXPORT = "save its tensors once, where you trust the file: torch.save(model.state_dict(), FILE)"
PREFIXES = ("module.", "visual.")  # of CLIP's tensors: wrapped for training, beside the text tower


class Tower(nn.Module):
    """Answers with (features,), as an encoder without a head."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> tuple[Tensor]:
        """Images [B, 3, S, S] -> ([B, D],)."""
        return (self.network(images),)


def tower_encoder(name: EncoderName, device: torch.device) -> Encoder:
    """Raises ValueError where the library or the network is not there, or the weights are of another network."""
    network, side, mean, std = MAKERS[name.kind](name)
    with name.path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Encoder(
        name=str(name),
        sha256=digest,
        model=Tower(network).float().to(device).eval().requires_grad_(False),
        normalise=normalisation(mean, std, device),
        device=device,
        side=side,
        has_head=False,
        positions=None,
    )


def normalisation(mean: Sequence[float], std: Sequence[float], device: torch.device) -> Callable[[Tensor], Tensor]:
    """From uint8 images [B, 3, S, S] to float32 of this mean and deviation by channel, both of pixels in [0, 1]."""
    shift, scale = (torch.tensor(values, device=device).reshape(1, 3, 1, 1) for values in (mean, std))
    return lambda images: (images.float() / 255 - shift) / scale


def _clip(name: EncoderName) -> tuple[nn.Module, int, Sequence[float], Sequence[float]]:
    try:
        import open_clip
    except ImportError:
        raise ValueError("--encoder clip: needs open_clip; pip install 'calibratemix[encoders]'") from None
    if name.network not in open_clip.list_models():
        raise ValueError(f"--encoder {name}: open_clip has no network {name.network}; open_clip.list_models() has all")
    tower = open_clip.create_model(name.network, pretrained=None).visual
    _load(tower, _visual(read_tensors(name.path, EXPORT)), name)
    side = tower.image_size[0] if isinstance(tower.image_size, tuple) else tower.image_size
    return tower, side, open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD


def _timm(name: EncoderName) -> tuple[nn.Module, int, Sequence[float], Sequence[float]]:
    try:
        import timm
    except ImportError:
        raise ValueError("--encoder timm: needs timm; pip install 'calibratemix[encoders]'") from None
    if not timm.is_model(name.network):
        raise ValueError(f"--encoder {name}: timm has no network {name.network}; timm.list_models() has all")
    network = timm.create_model(name.network, pretrained=False, num_classes=0)
    wanted = network.state_dict()
    described: Any = network.pretrained_cfg  # a dictionary; type hints say a tensor
    head = described.get("classifier", ())
    heads = tuple(f"{each}." for each in ([head] if isinstance(head, str) else head))
    found = read_tensors(name.path, EXPORT)
    _load(network, {key: value for key, value in found.items() if key in wanted or not key.startswith(heads)}, name)
    how: dict[str, Any] = timm.data.resolve_model_data_config(network)
    return network, how["input_size"][-1], how["mean"], how["std"]


MAKERS = {"clip": _clip, "timm": _timm}


def _visual(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The image tower's tensors of a whole CLIP, or all where the file has that tower alone."""
    wrapped, visual = PREFIXES
    bare = {key.removeprefix(wrapped): value for key, value in tensors.items()}
    of_tower = {key.removeprefix(visual): value for key, value in bare.items() if key.startswith(visual)}
    return of_tower or bare


def _load(network: nn.Module, tensors: Mapping[str, Tensor], name: EncoderName) -> None:
    """Fills the network. Raises ValueError naming the first tensor that differs."""
    wanted = network.state_dict()
    for key in {**wanted, **tensors}:
        there = [list(each[key].shape) if key in each else None for each in (wanted, tensors)]
        if there[0] != there[1]:
            what = "is missing" if there[1] is None else f"is {there[1]}, not {there[0] or 'in the network'}"
            raise ValueError(f"--encoder {name}: weights of another network: {key} {what}")
    network.load_state_dict(tensors)
