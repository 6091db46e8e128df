"""What the user's own splits choose from: the images of a source, of a run, or of a finished folder."""

import csv
from pathlib import Path

import numpy as np

from dataprep.data_folder.file_list import NAME, read_files
from dataprep.data_folder.own_splits import TrainImages, read_own_split
from dataprep.data_folder.split_draws import Positions
from dataprep.data_folder.split_files import SplitRequest
from dataprep.layouts.listing import Listing
from dataprep.writing.plan import Plan


def check_own_splits(request: SplitRequest, listing: Listing) -> None:
    """Raises ValueError, before hours of encoding, for a split that does not fit the images listed."""
    if not request.own:
        return  # the lists below are of every training image
    labels = np.array([entry.label for entry in listing.train], np.int64)
    images = TrainImages(files=[entry.path for entry in listing.train], labels=labels)
    for split in request.own:
        read_own_split(split, images)


def images_of_plan(plan: Plan, listing: Listing, labels: Positions) -> TrainImages:
    """The training images that were stored; labels: theirs, int64 [N]."""
    files = [entry.path for entry in plan.stored("train")]
    return TrainImages(files=files, labels=labels, rejected={entry.path for entry in listing.train} - set(files))


def images_of_folder(folder: Path, labels: Positions) -> TrainImages:
    """The same of a finished folder; one that was made before there were lists of files knows none."""
    if not (folder / NAME).exists():
        return TrainImages(files=[], labels=labels)
    with (folder / "rejected.csv").open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        rejected = {row["path"] for row in csv.DictReader(file)}
    return TrainImages(files=read_files(folder, "train"), labels=labels, rejected=rejected)
