"""A generator's weights in a file: a plain dictionary of tensors by the names of EDM's published networks.

The published files are pickles that run code when they are opened; they are refused, with the line that exports their
tensors. What the network is, is read from the tensors' names and shapes.
"""

import pickle
import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from pipeline.generator.denoiser import Denoiser
from pipeline.generator.unet import NetworkSize, is_possible

Weights = Mapping[str, Tensor]
FILTER = ".resample_filter"  # buffers of the published files, all of 1/4: the average of 2x2 pixels
CONVOLUTION = re.compile(r"model\.enc\.(\d+)x\1_conv\.weight")
EXPORT = (
    "where you trust the file, export its tensors once, with EDM's code on PYTHONPATH: python -c \"import pickle, "
    "torch; torch.save(pickle.load(open('FILE', 'rb'))['ema'].state_dict(), 'weights.pt')\""
)


def read_weights(path: Path) -> Weights:
    """The tensors of a .pt or .safetensors file by name, in host memory. Raises ValueError."""
    if not path.is_file():
        raise ValueError(f"{path}: no such file; --weights takes a .pt or .safetensors file")
    return read_tensors(path, EXPORT)


def read_tensors(path: Path, export: str) -> Weights:
    """As ``read_weights``, of any network. ``export``: how to save the tensors of a file that holds code."""
    content = _safetensors(path) if path.suffix == ".safetensors" else _torch(path, export)
    if not isinstance(content, Mapping) or not all(isinstance(value, Tensor) for value in content.values()):
        raise ValueError(f"{path}: holds no dictionary of tensors; save it with torch.save(network.state_dict(), FILE)")
    return content


def denoiser_of(weights: Weights, source: Path) -> Denoiser:
    """The network that the tensors are of, in evaluation mode. ValueError names ``source`` and what is wrong."""
    size = size_of(weights, source)
    if not is_possible(size):
        raise ValueError(f"{source}: not this network: no U-Net has the widths {size.multipliers} x {size.channels}")
    with torch.device("meta"):
        denoiser = Denoiser(size)
    wanted = denoiser.state_dict()
    tensors = {name: tensor for name, tensor in weights.items() if not name.endswith(FILTER)}
    for name, tensor in wanted.items():
        found = f"is {_shape(tensors[name])}" if name in tensors else "is missing"
        if name not in tensors or tensors[name].shape != tensor.shape:
            raise ValueError(f"{source}: not this network: {name} {found}, not {_shape(tensor)}")
    if extra := next((name for name in tensors if name not in wanted), None):
        raise ValueError(f"{source}: not this network: {extra} has no place in it")
    _check_filters(weights, source)
    denoiser.load_state_dict({name: tensor.float() for name, tensor in tensors.items()}, assign=True)
    return denoiser.requires_grad_(False).eval()


def size_of(weights: Weights, source: Path) -> NetworkSize:
    """What the names and shapes of the tensors say of the network. ValueError names ``source``."""
    first = next((match for name in weights if (match := CONVOLUTION.fullmatch(name))), None)
    label = weights.get("model.map_label.weight")
    if first is None or label is None or label.ndim != 2:
        missing = "model.enc.NxN_conv.weight" if first is None else "model.map_label.weight"
        raise ValueError(f"{source}: no class-conditional DDPM++ U-Net of EDM: {missing} is missing")
    resolution, channels = int(first[1]), len(label)
    blocks = [  # (side of the level in pixels, multiplier)
        (int(side), len(tensor) // max(channels, 1))
        for name, tensor in weights.items()
        for side in re.findall(r"model\.enc\.(\d+)x\d+_block\d+\.conv0\.weight", name)
    ]
    levels = sorted(dict(blocks), reverse=True)  # a .safetensors file has the names in alphabetical order
    attended = (re.findall(r"model\.enc\.(\d+)x\d+_block\d+\.qkv\.weight", name) for name in weights)
    augment = weights.get("model.map_augment.weight")
    if not blocks or levels != [resolution >> number for number in range(len(levels))] or channels < 4:
        raise ValueError(f"{source}: its levels ({levels}) are not those of a U-Net of {resolution} px")
    return NetworkSize(
        resolution=resolution,
        classes=label.shape[1],
        channels=channels,
        multipliers=tuple(dict(blocks)[side] for side in levels),
        blocks=len(blocks) // len(levels),
        attention=tuple(sorted({int(side) for sides in attended for side in sides}, reverse=True)),
        augment=0 if augment is None else augment.shape[1],
    )


def _torch(path: Path, export: str) -> object:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise ValueError(f"{path}: holds code that would run, not tensors alone; {export}") from None
    except (RuntimeError, EOFError, OSError, ValueError) as error:
        raise ValueError(f"{path}: cannot be read ({' '.join(str(error).split())[:200]}); export it again") from None


def _safetensors(path: Path) -> object:
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load_file
    except ImportError:
        raise ValueError(f"{path}: needs safetensors; pip install safetensors, or save it with torch.save") from None
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path}: cannot be read ({error}); export it again") from None


def _check_filters(weights: Weights, source: Path) -> None:
    for name, tensor in weights.items():
        if name.endswith(FILTER) and (tensor.shape != (1, 1, 2, 2) or (tensor.float() != 0.25).any()):
            raise ValueError(f"{source}: {name} is another filter than the average of 2x2 pixels; only DDPM++ is read")


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape))
