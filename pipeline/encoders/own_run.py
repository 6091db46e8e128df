"""The classifier of a finished run of this project as an encoder, with the weights that its results are of."""

from pathlib import Path

from pipeline.annotation.packed import Groups
from pipeline.distributed import Ranks
from pipeline.encoders.encoder import Encoder, tensors_sha256
from pipeline.report.restore import restore
from pipeline.report.verified_predictions import read_settings


def run_encoder(run: Path, groups: Groups, data: Path, ranks: Ranks) -> Encoder:
    """In float32, as evaluation. Raises ValueError for a damaged run or one of another data set. Collective."""
    weights = read_settings(run).weights or "ema"
    restored = restore(run, str(data), weights, None, ranks)
    dataset = restored.dataset
    if dataset.folder.name != groups.dataset or dataset.classes != groups.classes:
        raise ValueError(
            f"--encoder {run}: was trained on {dataset.folder.name}, and {groups.folder} holds groups of "
            f"{groups.dataset}; train one on {groups.dataset}"
        )
    return Encoder(
        name=f"{run} ({weights}, step {restored.step})",
        sha256=tensors_sha256(restored.model.state_dict()),
        model=restored.model,
        normalise=restored.numerics.normalise,
        device=ranks.device,
        side=dataset.image_size,
        has_head=True,
        positions=dataset.split,
    )
