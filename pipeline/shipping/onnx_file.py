"""A network as an ONNX file, and how far what onnxruntime makes of it is from torch."""

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

OPSET = 18  # of ONNX; onnxruntime 1.14 and later read it
TOLERANCE = 1e-4  # largest difference of a probability that an exported network may have


class Classifier(nn.Module):
    """Normalised images [B, 3, S, S] -> probabilities [B, C] at ``temperature``, or logits where it is None."""

    def __init__(self, network: nn.Module, temperature: float | None) -> None:
        super().__init__()
        self.network, self.temperature = network, temperature

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.network(images)[0]
        return logits if self.temperature is None else (logits / self.temperature).softmax(dim=1)


def write_onnx(path: Path, network: Classifier, size: int, output: str) -> None:
    """Any number of images of ``size`` px as ``image``; answers ``output``. Weights in float32, in the file itself."""
    network = network.eval()
    example = torch.zeros(2, 3, size, size)
    with warnings.catch_warnings():
        # The exporter by tracing is the one that needs no other package and reads every network here; its successor
        # takes ten times as long. It warns of its age, and of shapes that it takes as fixed: they are.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            (example,),
            str(path),
            input_names=["image"],
            output_names=[output],
            dynamic_axes={"image": {0: "batch"}, output: {0: "batch"}},
            opset_version=OPSET,
            dynamo=False,
        )


def largest_difference(path: Path, network: Classifier, batches: Iterator[Tensor]) -> tuple[float, int]:
    """Of a probability between torch and onnxruntime, and over how many images; ``batches``: normalised."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    largest, count = 0.0, 0
    with torch.inference_mode():
        for images in batches:
            images = images.contiguous()
            theirs, ours = session.run(None, {"image": images.numpy()})[0], network(images).numpy()
            if network.temperature is None:
                theirs, ours = _softmax(theirs), _softmax(ours)
            largest, count = max(largest, float(np.abs(theirs - ours).max())), count + len(images)
    return largest, count


def _softmax(logits: NDArray[Any]) -> NDArray[Any]:
    grown = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares: NDArray[Any] = grown / grown.sum(axis=1, keepdims=True)
    return shares
