"""Stand-ins for generated groups: pixel blends of two real images, written through the real code."""

from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

from dataprep.generated import shards
from dataprep.generated.pairs import class_pairs, even_ratios

PLACES = 4
SETTINGS: shards.Settings = {
    "dataset": "digits",
    "classes": [str(digit) for digit in range(10)],
    "groups": 90,
    "seed": 7,
    "ratios": even_ratios(PLACES),
    "side": 32,
    "resolution": 8,
    "sampler": {"name": "heun", "steps": 18, "sigma_min": 0.002, "sigma_max": 80.0, "rho": 7.0, "guidance": None},
    "generator": {
        "path": "runs/generator",
        "kind": "run",
        "sha256": "0" * 64,
        "labels": {"name": "all", "count": 3, "sha256": "1" * 64},
    },
    "precision": "fp32",
    "micro_batch": 32,
    "groups_per_shard": 16,
    "versions": {},
}


def digits_by_class() -> list[np.ndarray]:
    """Real digits enlarged to 32 pixels, uint8 [n, 32, 32, 3] of each class."""
    bunch = load_digits()
    small = np.rint(bunch.images * (255 / 16)).astype(np.uint8)
    large = np.repeat(np.repeat(small, 4, 1), 4, 2)[..., None].repeat(3, -1)
    return [large[bunch.target == digit] for digit in range(10)]


def blends(groups: int) -> np.ndarray:
    """Groups [G, S, 32, 32, 3] between the pairs in order: the more of the first class, the further back the place."""
    digits, pairs = digits_by_class(), class_pairs(10)
    ratios = np.array(SETTINGS["ratios"])[:, None, None, None]
    made = []
    for group in range(groups):
        (a, b), number = pairs[group % len(pairs)], group // len(pairs)
        made.append(np.rint(ratios * digits[a][number] + (1 - ratios) * digits[b][number]).astype(np.uint8))
    return np.stack(made)


def write_shards(folder: Path, images: np.ndarray, settings: shards.Settings = SETTINGS) -> Path:
    """A folder of shards that holds these groups, from group 0 on."""
    shards.write_settings(folder, {**settings, "groups": len(images)})
    shards.write_positions(folder, np.array([1, 4, 9]))
    step = settings["groups_per_shard"]
    for number, start in enumerate(range(0, len(images), step)):
        shards.write_shard(folder, number, images[start : start + step], start)
    return folder


def write_tree(folder: Path, images: dict[str, np.ndarray]) -> Path:
    """CLASSA_CLASSB/GROUP -> images [S, H, W, 3] as PNG files."""
    for group, each in images.items():
        (folder / group).mkdir(parents=True)
        for place, image in enumerate(each):
            Image.fromarray(image).save(folder / group / f"{place}.png")
    return folder
