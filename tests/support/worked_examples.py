"""Predictions whose scores were worked out by hand or by several tools, and random ones."""

import numpy as np

# Ten samples of three classes, no confidence on the edge of a bin: every published definition of ECE agrees.
TEN = np.array(
    [
        [0.97, 0.02, 0.01],
        [0.88, 0.07, 0.05],
        [0.83, 0.10, 0.07],
        [0.12, 0.76, 0.12],
        [0.15, 0.71, 0.14],
        [0.22, 0.14, 0.64],
        [0.58, 0.25, 0.17],
        [0.21, 0.52, 0.27],
        [0.30, 0.24, 0.46],
        [0.41, 0.33, 0.26],
    ]
)
TEN_LABELS = np.array([0, 0, 1, 1, 2, 2, 0, 0, 2, 1])
# Six samples whose confidences lie on edges, so that the rule for edges decides the number.
THIRD = [1 / 3 + 1e-12, 1 / 3 - 5e-13, 1 / 3 - 5e-13]
EDGES = np.array([[1, 0, 0], [0.8, 0.1, 0.1], [0.8, 0.15, 0.05], [0.6, 0.3, 0.1], [0.4, 0.35, 0.25], THIRD])
EDGE_LABELS = np.array([1, 0, 1, 0, 0, 2])


def random_predictions(seed: int, samples: int, classes: int, scale: float = 3.0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    logits = (generator.normal(size=(samples, classes)) * scale).astype(np.float32)
    return logits, generator.integers(0, classes, samples)
