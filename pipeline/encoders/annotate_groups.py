"""From options to annotation.npz and its page: prototypes of labelled images, then one pass over the generated ones."""

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline import devices, distributed
from pipeline.annotation.packed import Groups, open_groups
from pipeline.annotation.projection import prototypes
from pipeline.annotation.quality import overall, pair_quality
from pipeline.annotation.soft_labels import calibrated_lambda
from pipeline.annotation.stored import Annotation, write_annotation
from pipeline.distributed import Ranks
from pipeline.encoders.encoder import Encoder
from pipeline.encoders.labelled import RealImages, labelled_positions, real_images
from pipeline.encoders.look import Numbers, number_table, write_look
from pipeline.encoders.moments import FeatureSums, frechet_distance
from pipeline.encoders.options import AnnotateOptions
from pipeline.encoders.own_run import run_encoder
from pipeline.encoders.passes import Reading, annotate_generated, labelled_sums
from pipeline.encoders.rank_rows import join_rows
from pipeline.encoders.towers import tower_encoder
from pipeline.models.numerics import set_libraries
from pipeline.runs.host_tuning import cores
from pipeline.runs.lock import RunLock
from pipeline.training.failures import following_failures


def launch(options: AnnotateOptions) -> list[str]:
    """Annotates on all ranks; lines for rank 0 to print. ValueError, on every rank, for a user's mistake."""
    groups = open_groups(options.folder)
    real = real_images(groups, options.data)
    if options.encoder.kind != "run":
        labelled_positions(real, options.labels, None)  # a wrong name is found before anything is computed
    devices.check()
    lock = RunLock(groups.folder)
    if distributed.launched_world()[0] == 0:
        lock.claim()
    ranks = distributed.start()
    try:
        with following_failures(ranks):
            return annotate(groups, real, options, ranks)
    finally:
        lock.release()
        distributed.stop()


def annotate(groups: Groups, real: RealImages, options: AnnotateOptions, ranks: Ranks) -> list[str]:
    """Writes annotation.npz, annotation.json and the page on rank 0. Collective."""
    threads = options.threads or max(1, cores() // distributed.local_world())
    torch.set_num_threads(threads)
    set_libraries("fp32")
    encoder = _encoder(groups, options, ranks)
    reading = Reading(encoder, real, ranks, options.batch, threads)
    positions = labelled_positions(real, options.labels, encoder.positions)
    train, test = real.folder / "train.beton", real.folder / "test.beton"
    sums, counts, labelled = labelled_sums(reading, train, positions, len(groups.classes), "labelled")
    means = prototypes(sums, counts, groups.classes)
    *_, tested = labelled_sums(reading, test, None, len(groups.classes), "test")
    generated = annotate_generated(reading, groups, means, options.temperature)
    rows = {"lambda_e": generated.lambda_e, "zero_shot": generated.zero_shot}
    joined = join_rows(groups.folder, rows, ranks)
    if joined is None:
        return []
    annotation = Annotation(
        lambda_e=joined["lambda_e"],
        zero_shot=joined["zero_shot"],
        prototypes=means.float().cpu().numpy(),
        encoder=encoder.name,
        encoder_sha256=encoder.sha256,
        dataset=groups.dataset,
        prototype_positions=positions,
        encoder_positions=encoder.positions,
        temperature=0.0 if encoder.has_head else options.temperature,
    )
    write_annotation(groups, annotation)
    others = {"ends": generated.ends, "between": generated.inner, "test": tested}
    distances = {name: _distance(labelled, other) for name, other in others.items()}
    return _look(groups, annotation, distances, options, real)


def _encoder(groups: Groups, options: AnnotateOptions, ranks: Ranks) -> Encoder:
    if options.encoder.kind == "run":
        return run_encoder(options.encoder.path, groups, options.data, ranks)
    return tower_encoder(options.encoder, ranks.device)


def _distance(real: FeatureSums, other: FeatureSums) -> dict[str, float | int | None]:
    """None where there are not two images, as between the ends of groups of two."""
    distance = frechet_distance(real, other) if min(int(real.count), int(other.count)) > 1 else None
    return {"distance": distance, "images": int(other.count)}


def _look(
    groups: Groups, annotation: Annotation, distances: Numbers, options: AnnotateOptions, real: RealImages
) -> list[str]:
    quality = pair_quality(groups, annotation.lambda_e, annotation.zero_shot.argmax(axis=1))
    found = overall(groups, annotation.lambda_e, quality)
    numbers: Numbers = {
        "dataset": groups.dataset,
        "encoder": annotation.encoder,
        "encoder_sha256": annotation.encoder_sha256,
        "images_sha256": groups.images_sha256,
        "labelled": {
            "prototypes": len(annotation.prototype_positions),
            "encoder": _count(annotation.encoder_positions),
            "generator": _count(groups.generator_positions),
        },
        "temperature": annotation.temperature or None,
        "scale": options.scale,
        **found,
        "lambda_by_place": _lambda_by_place(groups, annotation, options.scale),
        "frechet": distances,
    }
    page = write_look(groups, annotation, numbers, quality, real.image_size)
    return [number_table(numbers).markdown(), f"annotation: {groups.folder / 'annotation.npz'}", f"page: {page}"]


def _lambda_by_place(groups: Groups, annotation: Annotation, scale: float) -> list[float]:
    shares = calibrated_lambda(torch.from_numpy(annotation.lambda_e), scale).double()
    means: list[float] = shares.reshape(-1, len(groups.ratios)).mean(0).tolist()
    return means


def _count(positions: NDArray[np.int64] | None) -> int | None:
    return None if positions is None else len(positions)
