"""What the network of a run says of test images, of out-of-distribution images, and of images that leave the hull.

In the plain pass, and as the mean of passes with dropout (--mc-dropout), both from one pass of the body over an image;
and of test images as the mean over weak views (--tta).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from pipeline.calibration.averages import mean_prediction
from pipeline.calibration.proximity import proximity
from pipeline.calibration.sums import Floats, Ints
from pipeline.report.hull_walk import MU, Walk
from pipeline.report.inputs import Inputs, ood_folder
from pipeline.report.mc_dropout import mc_dropout
from pipeline.report.options import ReportOptions
from pipeline.report.restore import Noise, Restored
from pipeline.report.walk_images import WalkImages
from pipeline.training.inference import Images

MAX_NOISE_IMAGES = 2000

Logits = NDArray[Any]  # [N, C]


@dataclass(frozen=True)
class Answers:
    """In one way of predicting: logits of the `test` images, of out-of-distribution images by name, and on the walk.

    `way`: "" for the plain pass, otherwise what the mean is over. `test` is None where the run has stored its
    predictions and nothing else is asked for; so is `validation`, logits and labels, which are None too where the run
    held out no images.
    """

    way: str
    test: Logits | None
    validation: tuple[Logits, Ints] | None
    ood: dict[str, Logits]
    walk: Walk | None


def answers(network: Restored, inputs: Inputs, options: ReportOptions, stored: bool) -> list[Answers]:
    """Of the plain pass; of passes with dropout where --mc-dropout asks for them and the run has any; of weak views.

    `stored`: the test predictions of the plain pass are at hand.
    """
    passes = options.mc_dropout if network.config.model.dropout > 0 else 0
    seed = options.resampling.seed

    def ask(images: Images) -> list[Logits]:
        return _logits(network, images, passes, seed)

    crops, held = network.crops(network.dataset.test_beton), network.validation()
    test = ask(crops) if passes or not stored else [None]
    validation = ask(held) if held and (passes or not stored) else None
    ood = {kind: ask(images) for kind, images in _others(network, inputs, len(crops.labels), seed)}
    walk = _walk(network, min(options.hull_walk, len(crops.labels)), seed) if options.hull_walk else None
    labels, walked = (walk.crops.labels, ask(walk)) if walk else (None, [])
    found = [
        Answers(
            way="MC dropout" if way else "",
            test=test[way],
            validation=(validation[way], held.labels) if held and validation else None,
            ood={kind: logits[way] for kind, logits in ood.items()},
            walk=Walk(walked[way].reshape(len(labels), len(MU), -1), labels) if labels is not None else None,
        )
        for way in range(2 if passes else 1)
    ]
    return [*found, _of_weak_views(network, options.tta, seed)] if options.tta else found


def _of_weak_views(network: Restored, views: int, seed: int) -> Answers:
    """The mean softmax over `views` weak views of the test and of the validation images; nothing else is asked."""

    def mean(beton: Path, indices: Ints | None) -> Floats:
        drawn = (network.weak_views(beton, indices, seed, visit) for visit in range(views))
        return mean_prediction(network.logits(images) for images in drawn)

    held, crops = network.dataset.validation, network.validation()
    validation = (mean(held.beton, held.indices), crops.labels) if held and crops else None
    way = f"{views} weak view{'s' if views > 1 else ''}"
    return Answers(way=way, test=mean(network.dataset.test_beton, None), validation=validation, ood={}, walk=None)


def proximities(network: Restored) -> Floats:
    """[N] of the test images, to the run's labelled training images at the central crop (calibration/proximity.py)."""
    dataset = network.dataset
    _, training = network.logits_and_features(network.crops(dataset.train_beton, dataset.split))
    _, test = network.logits_and_features(network.crops(dataset.test_beton))
    return proximity(test, training)


def _logits(network: Restored, images: Images, passes: int, seed: int) -> list[Logits]:
    """Of the plain pass; and, for `passes` above 0, of their mean."""
    if not passes:
        return [network.logits(images)]
    logits, features = network.logits_and_features(images)
    head = network.model.head
    assert isinstance(head, nn.Linear)
    return [logits, mc_dropout(features, head, network.config.model.dropout, passes, seed)]


def _others(network: Restored, inputs: Inputs, num_test: int, seed: int) -> Iterator[tuple[str, Images]]:
    """Images by name: test images of the other data folders that --ood names, and noise."""
    for short, name in inputs.ood.items():
        if name not in inputs.ood_files:
            yield short, network.crops(ood_folder(name, network.dataset.folder) / "test.beton")
    yield "Gaussian noise", Noise(network.dataset, min(num_test, MAX_NOISE_IMAGES), network.config.eval_batch, seed)


def _walk(network: Restored, num: int, seed: int) -> WalkImages:
    """The first `num` test images, which are a random sample: the order of a beton is random."""
    crops = network.crops(network.dataset.test_beton, np.arange(num))
    return WalkImages(crops, network.config.eval_batch, seed)
