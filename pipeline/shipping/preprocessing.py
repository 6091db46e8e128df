"""From an image file to the network's input, in words that any program can follow: preprocess.json."""

from typing import Any

from pipeline.data.dataset import Dataset
from pipeline.models.numerics import Statistics


def preprocessing(dataset: Dataset, statistics: Statistics, output: str, temperature: float) -> dict[str, Any]:
    """What happens to a test image, as dataprep stores it and evaluation crops it.

    ``output``: what model.onnx answers, "probabilities" or "logits". ``temperature``: what logits are to be divided by
    before the softmax, or were where the output is probabilities.
    """
    mean, std = statistics
    return {
        "mode": "RGB",  # without a look at EXIF rotation, as torchvision's loader
        "shorter_side": dataset.stored_size,  # the whole image resized; the longer side in proportion, rounded down
        "resample": "bilinear with antialiasing, as Pillow's",
        "size": dataset.image_size,  # side of the square that is cut out of the middle
        "inset": (dataset.stored_size - dataset.image_size) // 2,  # of it within the central square of shorter_side
        "mean": list(mean),
        "std": list(std),  # of pixels from 0 to 1: (pixel / 255 - mean) / std
        "input": {"name": "image", "dtype": "float32", "shape": ["batch", 3, dataset.image_size, dataset.image_size]},
        "output": output,
        "temperature": temperature,
    }
