"""The generated images of a training run, and what their labels are made of; checked against the run before it starts.

Everything a user can get wrong about them is one ``ValueError`` here. The gravest is a leak: the generator, the encoder
and its prototypes are part of the experiment, so they may know no label that the run does not.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.annotation.packed import FIELDS, Groups, open_groups
from pipeline.annotation.stored import Annotation, read_annotation
from pipeline.config import Config
from pipeline.config.options import LABELLED_ONLY
from pipeline.data.batches import PartSource, labelled_part_order
from pipeline.data.dataset import Dataset
from pipeline.data.group_order import GroupOrder, GroupsByClass, Ints, Places
from pipeline.data.streams import VirtualShards
from pipeline.randomness import AUGMENTED

ENCODED = ("reannotated", "zero_shot")  # labels that an encoder gives
SPLIT = "{split}"  # in augmented.dataset: the run's split, so that a grid over seeds can name a folder for each
# What has seen labels, and how to have another that has seen those of the run.
REMEDIES = {
    "generator": "generate with one that was trained on the run's labels (pipeline/train_generator.py --set labels=)",
    "encoder": "annotate with one that was trained on the run's labels (pipeline/annotate.py --encoder RUN)",
    "prototypes": "annotate with those of the run's labels (pipeline/annotate.py --labels SPLIT)",
}


@dataclass(frozen=True)
class SoftLabelled:
    """``annotation``: None where labels come from the generator. ``notes``: lines for the user."""

    groups: Groups
    annotation: Annotation | None
    by_class: GroupsByClass
    places: Places
    notes: list[str]

    @property
    def provenance(self) -> dict[str, str | float]:
        """Which images with which labels, for environment.json: a resumed run has to go on with the same."""
        made: dict[str, str | float] = {"folder": self.groups.folder.name, "images_sha256": self.groups.images_sha256}
        if of := self.annotation:
            # What lambda_E and the zero-shot distributions follow from; they themselves can be gigabytes.
            made |= {"encoder_sha256": of.encoder_sha256, "temperature": of.temperature}
            made["prototypes_sha256"] = hashlib.sha256(of.prototypes.tobytes()).hexdigest()
        return made


def open_soft_labelled(config: Config, dataset: Dataset) -> SoftLabelled | None:
    """DATA/NAME of ``augmented.dataset``; None where it is not set. Raises ValueError."""
    options = config.augmented
    if options.dataset is None:
        return None
    groups = open_groups(Path(config.data) / options.dataset.replace(SPLIT, config.split_name))
    encoded = options.labels in ENCODED
    annotation = read_annotation(groups, options.labels == "zero_shot") if encoded else None
    _check_data_set(groups, annotation, dataset)
    places = Places.of(options, len(groups.ratios))
    if not places.enough:
        raise ValueError(
            f"augmented.per_image={options.per_image}: the groups of {groups.folder} have {len(groups.ratios)} places, "
            "too few for so many inner ones beside an end; choose fewer"
        )
    by_class = GroupsByClass.of(groups.first, groups.second, len(dataset.classes))
    _check_classes(by_class, groups, dataset)
    return SoftLabelled(groups, annotation, by_class, places, _leaks(groups, annotation, config, dataset))


def augmented_source(
    generated: SoftLabelled, config: Config, dataset: Dataset, shards: VirtualShards, rank: int = 0, world: int = 1
) -> PartSource:
    """The part of a step's batch that the generated images are: weak views, those of this rank's labelled images."""
    labelled = labelled_part_order(config, dataset, shards, rank, world)
    drawn = generated.by_class, generated.places, len(generated.groups.ratios)
    order = GroupOrder(labelled, dataset.train_labels, *drawn, config.seed)
    return PartSource(generated.groups.beton, order, AUGMENTED, strong=False, fields=FIELDS)


def _check_data_set(groups: Groups, annotation: Annotation | None, dataset: Dataset) -> None:
    """Groups and annotation have to be of the run's data set, as it is stored. Raises ValueError."""
    name = dataset.folder.name
    if groups.dataset != name:
        raise ValueError(f"{groups.folder}: lies between classes of {groups.dataset}, the run's data set is {name}")
    if annotation and annotation.dataset != name:
        raise ValueError(f"{groups.folder}: was annotated by images of {annotation.dataset}, not of {name}")
    if groups.classes != dataset.classes:
        raise ValueError(f"{groups.folder}: has other classes, or another order of them, than {dataset.folder}")
    if groups.stored_size != dataset.stored_size:
        raise ValueError(
            f"{groups.folder}: holds images of {groups.stored_size} px, {dataset.folder} of {dataset.stored_size}; "
            "pack the groups again for this data folder"
        )


def _check_classes(by_class: GroupsByClass, groups: Groups, dataset: Dataset) -> None:
    """Each labelled class needs a group. Raises ValueError."""
    labelled = np.unique(dataset.train_labels)
    if len(without := labelled[np.diff(by_class.starts)[labelled] == 0]):
        raise ValueError(f"{groups.folder}: no group has class {dataset.classes[without[0]]} at an end; generate some")


def _leaks(groups: Groups, annotation: Annotation | None, config: Config, dataset: Dataset) -> list[str]:
    """Notes about what is not known. ValueError where labels were seen that the run does not train on."""
    seen: dict[str, Ints | None] = {"generator": groups.generator_positions}
    if annotation:
        seen |= {"encoder": annotation.encoder_positions, "prototypes": annotation.prototype_positions}
    notes = []
    for what, positions in seen.items():
        if positions is None:
            notes.append(_unknown(what, groups, config))
        elif count := len(np.setdiff1d(positions, dataset.split)):
            raise ValueError(
                f"{groups.folder}: its {what} saw the labels of {count} images that are not among the "
                f"{len(dataset.split)} labelled ones of this run (labels={config.labels} seed={config.seed}): "
                f"{REMEDIES[what]}"
            )
    return notes


def _unknown(what: str, groups: Groups, config: Config) -> str:
    """A note, or in semi-supervised training, whose labels are few, a ValueError."""
    words = f"{groups.folder}: which labels its {what} saw is not known"
    if config.algorithm not in LABELLED_ONLY:
        raise ValueError(f"{words}, and algorithm={config.algorithm} may know its split alone: {REMEDIES[what]}")
    return f"{words}; results on images that it may have seen are too good"
