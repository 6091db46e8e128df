"""Number formats: what the network computes in, and how uint8 images become its input."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

from pipeline.data.dataset import Dataset
from pipeline.models.backbones import network_statistics

Statistics = tuple[tuple[float, ...], tuple[float, ...]]  # mean and standard deviation by channel, of pixels in [0, 1]
IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
USB: dict[str, Statistics] = {  # by data set, as USB has them
    "cifar10": IMAGENET,
    "cifar100": ((129.3 / 255, 124.1 / 255, 112.4 / 255), (68.2 / 255, 65.4 / 255, 70.4 / 255)),
    "svhn": ((0.4380, 0.4440, 0.4730), (0.1751, 0.1771, 0.1744)),
    "stl10": ((112.4 / 255, 109.1 / 255, 98.6 / 255), (68.4 / 255, 66.6 / 255, 68.5 / 255)),
    "imagenet": IMAGENET,
    "webvision": IMAGENET,
}


class Numerics:
    """``precision`` and ``normalisation`` as the options; ``network``: model.name."""

    def __init__(
        self,
        precision: str,
        dataset: Dataset,
        device: torch.device,
        normalisation: str = "dataset",
        network: str = "",
    ) -> None:
        self.precision = resolve_precision(precision, device)
        self.device = device
        self.dtype = torch.float64 if self.precision == "fp64" else torch.float32
        mean, std = statistics(normalisation, dataset, network)
        shape = (1, 3, 1, 1)
        self.mean = torch.tensor(mean, dtype=self.dtype, device=device).reshape(shape) * 255
        self.scale = 1 / (torch.tensor(std, dtype=self.dtype, device=device).reshape(shape) * 255)
        self.planes: dict[torch.Size, tuple[Tensor, Tensor]] = {}
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.precision == "fp16")
        set_libraries(self.precision)

    def normalise(self, images: Tensor) -> Tensor:
        """uint8 [B, 3, S, S] -> zero mean, unit variance per channel; keeps channels_last."""
        mean, scale = self._planes(images.shape[2:])
        return images.to(self.dtype).sub_(mean).mul_(scale)

    def batch(self, images: Sequence[Tensor]) -> Tensor:
        """Images [n_i, 3, S, S], uint8 or normalised already, as one normalised channels_last batch [n, 3, S, S].

        Written into one tensor of its final form: each image is converted once and copied nowhere else.
        """
        shape = sum(len(each) for each in images), *images[0].shape[1:]
        whole = torch.empty(shape, dtype=self.dtype, device=self.device, memory_format=torch.channels_last)
        mean, scale = self._planes(whole.shape[2:])
        for each, space in zip(images, whole.split([len(each) for each in images]), strict=True):
            space.copy_(each)
            if each.dtype == torch.uint8:
                space.sub_(mean).mul_(scale)
        return whole

    def _planes(self, size: torch.Size) -> tuple[Tensor, Tensor]:
        """Mean and scale for every pixel: three innermost channels broadcast 24 times slower on a CPU."""
        if size not in self.planes:
            whole = (x.expand(1, 3, *size) for x in (self.mean, self.scale))
            mean, scale = (x.contiguous(memory_format=torch.channels_last) for x in whole)
            self.planes[size] = mean, scale
        return self.planes[size]

    def autocast(self) -> AbstractContextManager[object]:
        """A fresh context for each pass: autocast caches its cast weights, with or without gradient."""
        return autocast(self.precision, self.device)


def autocast(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """Half precision inside the context, where ``precision`` is one."""
    half = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision)
    return torch.autocast(device.type, half) if half else nullcontext()


def set_libraries(precision: str) -> None:
    """What the libraries on a GPU may do, for the whole process.

    Shapes are fixed, so cudnn may search. TF32 keeps 10 bits of a factor: only in convolutions, where it is asked for.
    NVIDIA's containers turn it on for products of matrices as well (TORCH_ALLOW_TF32_CUBLAS_OVERRIDE).
    """
    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.allow_tf32 = precision == "tf32"
    torch.backends.cuda.matmul.allow_tf32 = False


def statistics(normalisation: str, dataset: Dataset, network: str = "") -> Statistics:
    """By ``augment.normalisation``; with ``usb``, a set that USB does not know keeps its own."""
    return NORMALISATIONS[normalisation](dataset, network)


def _own(dataset: Dataset) -> Statistics:
    return dataset.mean, dataset.std


NORMALISATIONS: dict[str, Callable[[Dataset, str], Statistics]] = {
    "dataset": lambda dataset, network: _own(dataset),
    "imagenet": lambda dataset, network: IMAGENET,
    "usb": lambda dataset, network: USB.get(dataset.folder.name, _own(dataset)),
    "timm": lambda dataset, network: network_statistics(network),
}


def resolve_precision(precision: str, device: torch.device) -> str:
    """``auto`` is bf16 where the hardware computes in it, else fp16 on CUDA and fp32 on CPU. Raises ValueError."""
    if precision == "tf32" and device.type != "cuda":
        raise ValueError("precision=tf32: only GPUs have it; choose fp32, or auto")
    if precision != "auto":
        return precision
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    return "bf16" if cpu_has_bf16() else "fp32"


def cpu_has_bf16() -> bool:
    """True where the processor multiplies bfloat16 (AVX512-BF16 or AMX), as torch itself detects it."""
    probes = (getattr(torch.cpu, f"_is_{unit}_supported", None) for unit in ("avx512_bf16", "amx_tile"))
    return any(probe is not None and probe() for probe in probes)
