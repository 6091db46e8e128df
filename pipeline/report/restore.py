"""The trained network of a run folder, restored from a checkpoint, and images for it to predict."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from zipfile import BadZipFile

import numpy as np
import torch
import torch.distributed.checkpoint as dcp
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.distributed.checkpoint.api import CheckpointException

from pipeline import config, models
from pipeline.config.options import Config
from pipeline.config.sections import EmaConfig
from pipeline.data.batches import augmentation
from pipeline.data.beton_reader import Ints, cut
from pipeline.data.central_crops import CentralCrops
from pipeline.data.dataset import Dataset, open_beton, open_dataset
from pipeline.distributed import Ranks
from pipeline.models.numerics import Numerics
from pipeline.report.checkpoints import SELECTED, choose_checkpoint
from pipeline.report.weak_views import WeakViews
from pipeline.runs.checkpoints import SELECTED_FILE
from pipeline.training import checkpoint
from pipeline.training.inference import Images, predict, predict_with_features
from pipeline.training.optimization import MovingAverage
from pipeline.training.training_run import choose_threads


@dataclass(frozen=True)
class Restored:
    """The network of one checkpoint of a run, ready to predict, and what it was trained on."""

    config: Config
    dataset: Dataset
    model: nn.Module
    numerics: Numerics
    ranks: Ranks
    checkpoint: Path
    step: int

    def logits(self, images: Images) -> NDArray[np.float32]:
        """Logits [N, C] of the images, in their order."""
        return predict(self.model, images, self.numerics, self.ranks)

    def logits_and_features(self, images: Images) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Logits [N, C], and the features [N, D] that the classifier sees."""
        return predict_with_features(self.model, images, self.numerics, self.ranks)

    def crops(self, beton: Path, indices: Ints | None = None) -> CentralCrops:
        """Central crops as evaluation sees them, of all images or of those at `indices`, resized to the network."""
        open_beton(beton)
        own_size = int(json.loads((beton.parent / "manifest.json").read_text())["image_size"])
        threads, size = choose_threads(self.config.threads), self.dataset.image_size
        return CentralCrops(beton, own_size, self.config.eval_batch, threads, indices=indices, resize_to=size)

    def weak_views(self, beton: Path, indices: Ints | None, seed: int, visit: int) -> WeakViews:
        """Weak views of the run's own test or validation images, as its training draws them of its training images."""
        how, threads = augmentation(self.dataset, self.config.augment), choose_threads(self.config.threads)
        given = beton, self.dataset.image_size, how, self.config.eval_batch, threads
        return WeakViews(*given, indices=indices, seed=seed, visit=visit)

    def validation(self) -> CentralCrops | None:
        """Central crops of the validation images, of which training saw none; None where it held out none."""
        held = self.dataset.validation
        return self.crops(held.beton, held.indices) if held else None

    def pixels(self, beton: Path, indices: Ints) -> NDArray[np.uint8]:
        """Central crops uint8 [n, S, S, 3] of the images at `indices` [n] of a beton, to be looked at."""
        return np.concatenate([batch.permute(0, 2, 3, 1).numpy() for batch in self.crops(beton, indices).batches()])


def restore(run: Path, data: str | None, weights: str, step: int | None, ranks: Ranks) -> Restored:
    """The `weights` (ema or raw) of the checkpoint of `step`, or the newest, of the run folder `run`, or its selected.

    `data` replaces the run's option of that name, where the betons have moved. ValueError where anything is missing or
    damaged. Collective.
    """
    options = config.load(run / "config.yaml", [f"data={data}"] if data else [])
    dataset = open_dataset(options)
    path, found_step = choose_checkpoint(run, step)
    if problems := checkpoint.damage(path, ranks):
        raise ValueError(f"{path}: is damaged ({problems[0]}); choose another --checkpoint")
    # Predictions are in float32 or float64 whatever trained, also where this machine lacks the training's format.
    precision = "fp64" if options.precision == "fp64" else "fp32"
    numerics = Numerics(precision, dataset, ranks.device, options.augment.normalisation, options.model.name)
    model = models.network(
        options.model, len(dataset.classes), options.seed, dataset.image_size, ranks.device, numerics.dtype
    )
    if weights == SELECTED:
        found_step = _load_selected(model, run / SELECTED_FILE)
    else:
        model = _with_weights(model, weights, options.ema, path)
    return Restored(
        config=options,
        dataset=dataset,
        model=model,
        numerics=numerics,
        ranks=ranks,
        checkpoint=path,
        step=found_step,
    )


def _with_weights(model: nn.Module, weights: str, ema: EmaConfig, path: Path) -> nn.Module:
    """The network with the `weights` of the checkpoint at `path`."""
    if weights == "ema":
        average = MovingAverage(model, ema)
        _load(path, {"ema": average.state_dict()})
        return average.module
    _load(path, {"model": model.state_dict()})
    return model


def _load_selected(model: nn.Module, path: Path) -> int:
    """Fills the network with selected weights; their step. ValueError where the file is damaged."""
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
        model.load_state_dict(saved["model"])
        return int(saved["step"])
    except (RuntimeError, KeyError, OSError, EOFError, UnpicklingError, BadZipFile) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ValueError(f"{path}: cannot be loaded ({reason}); leave --weights {SELECTED} out") from error


def _load(path: Path, state: dict[str, object]) -> None:
    """Fills `state` in place. ValueError where the files are damaged or of another network."""
    try:
        dcp.load(state, checkpoint_id=path)
    except (CheckpointException, RuntimeError, ValueError, KeyError, OSError, EOFError, UnpicklingError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[-1]
        raise ValueError(f"{path}: cannot be loaded ({reason}); choose another --checkpoint") from error


def saved_tensor(path: Path, name: str) -> Tensor | None:
    """The whole tensor `name` of a checkpoint, whatever the number of ranks that saved it; None where it has none."""
    described = dcp.FileSystemReader(path).read_metadata().state_dict_metadata.get(name)
    if not isinstance(described, dcp.metadata.TensorStorageMetadata):
        return None
    tensor = torch.empty(described.size, dtype=described.properties.dtype)
    _load(path, {name: tensor})  # under its flattened name, which is how a checkpoint stores nested state
    return tensor


class Noise:
    """`num` images of Gaussian noise, uint8 [b, 3, S, S], with the training images' mean and deviation per channel."""

    def __init__(self, dataset: Dataset, num: int, batch_size: int, seed: int) -> None:
        self.dataset, self.batch_size, self.seed = dataset, batch_size, seed
        self.slices = [np.arange(num)]

    def batches(self) -> Iterator[Tensor]:
        """The same images at every call."""
        generator = np.random.default_rng(self.seed)
        size = self.dataset.image_size
        for indices in cut(self.slices[0], self.batch_size):
            pixels = generator.normal(self.dataset.mean, self.dataset.std, (len(indices), size, size, 3))
            yield torch.from_numpy(np.clip(np.rint(255 * pixels), 0, 255).astype(np.uint8)).permute(0, 3, 1, 2)
