"""Number formats: normalisation and precision."""

from pathlib import Path
from typing import Any

import pytest
import torch

from pipeline.data.dataset import Dataset
from pipeline.models.numerics import IMAGENET, Numerics, resolve_precision, statistics
from tests.support.problems import numerics

CPU = torch.device("cpu")


def test_normalise() -> None:
    images = torch.tensor([0, 128, 255], dtype=torch.uint8).reshape(1, 3, 1, 1)
    expected = torch.tensor([(0 - 0.4) / 0.2, (128 / 255 - 0.5) / 0.3, (1 - 0.6) / 0.2], dtype=torch.float64)
    torch.testing.assert_close(numerics().normalise(images).flatten(), expected)
    grid = torch.zeros(2, 4, 4, 3, dtype=torch.uint8).permute(0, 3, 1, 2)
    assert numerics().normalise(grid).is_contiguous(memory_format=torch.channels_last)


def test_imagenets_statistics_by_option() -> None:
    made = Numerics("fp64", None, CPU, "imagenet")  # type: ignore[arg-type]  # the data set is not asked
    white = made.normalise(torch.full((1, 3, 1, 1), 255, dtype=torch.uint8)).flatten()
    expected = torch.tensor([(1 - m) / s for m, s in zip(*IMAGENET, strict=True)], dtype=torch.float64)
    torch.testing.assert_close(white, expected)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("cifar10", IMAGENET),
        ("cifar100", ((129.3 / 255, 124.1 / 255, 112.4 / 255), (68.2 / 255, 65.4 / 255, 70.4 / 255))),
        ("svhn", ((0.438, 0.444, 0.473), (0.1751, 0.1771, 0.1744))),
        ("mine", ((0.1,) * 3, (0.2,) * 3)),
    ],
)
def test_usbs_statistics_are_of_the_data_set(name: str, expected: Any) -> None:
    nothing = dict.fromkeys(Dataset.__dataclass_fields__)
    dataset = Dataset(**nothing | {"folder": Path("data", name), "mean": (0.1,) * 3, "std": (0.2,) * 3})  # type: ignore[arg-type]
    assert statistics("usb", dataset) == expected
    assert statistics("dataset", dataset) == ((0.1,) * 3, (0.2,) * 3)
    assert statistics("imagenet", dataset) == IMAGENET


@pytest.mark.parametrize(("precision", "half"), [("fp32", None), ("bf16", torch.bfloat16), ("fp16", torch.float16)])
def test_precision(precision: str, half: torch.dtype | None) -> None:
    numbers = numerics(precision)
    with numbers.autocast():
        product = torch.ones(2, 2) @ torch.ones(2, 2)
    assert product.dtype == (half or torch.float32)
    assert numbers.scaler.is_enabled() == (precision == "fp16")


def test_auto_is_what_the_processor_has() -> None:
    flags = Path("/proc/cpuinfo").read_text() if resolve_precision("auto", CPU) == "bf16" else None
    assert flags is None or "avx512_bf16" in flags or "amx_tile" in flags
    assert resolve_precision("fp32", CPU) == "fp32"
    with pytest.raises(ValueError, match="precision=tf32: only GPUs have it; choose fp32"):
        resolve_precision("tf32", CPU)
    assert resolve_precision("tf32", torch.device("cuda")) == "tf32"


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_float32_is_float32(precision: str) -> None:
    torch.backends.cudnn.allow_tf32 = True  # torch's default
    torch.backends.cuda.matmul.allow_tf32 = True  # as NVIDIA's containers have it
    numerics(precision)
    assert not torch.backends.cudnn.allow_tf32
    assert not torch.backends.cuda.matmul.allow_tf32
