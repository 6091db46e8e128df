"""Runs with their trained networks: what a checkpoint predicts for test, out-of-distribution and unlabelled images."""

from dataclasses import replace
from functools import partial

import numpy as np
import torch

from pipeline import distributed
from pipeline.calibration.scores import softmax
from pipeline.calibration.sums import Floats, Ints
from pipeline.data.dataset import open_beton
from pipeline.data.source_files import source_files
from pipeline.data.streams import VirtualShards
from pipeline.distributed import Ranks
from pipeline.methods.margins import all_margins
from pipeline.report.answers import Answers, answers, proximities
from pipeline.report.inputs import GivenRun, Inputs, check_ood_classes
from pipeline.report.options import ReportOptions
from pipeline.report.pseudo_label_sample import PseudoLabelSample
from pipeline.report.restore import Restored, restore, saved_tensor
from pipeline.report.subjects import RunImages, Subject, subject_of_file, subject_without_network
from pipeline.report.verified_predictions import VerifiedPredictions, check_same_test_set, checked
from pipeline.runs.read import read_metrics
from pipeline.training.training_run import APM_TABLE


def subjects_with_networks(inputs: Inputs, options: ReportOptions) -> list[Subject]:
    """Every run in order, prediction files among them too. ValueError naming the file or option, and the remedy."""
    ranks = distributed.start()
    try:
        found = [
            [subject_of_file(given, inputs)] if given.is_file else _subjects_of_run(given, inputs, options, ranks)
            for given in inputs.runs
        ]
    finally:
        distributed.stop()
    subjects = [plain for plain, *_ in found] + [mean for _, *means in found for mean in means]
    check_same_test_set([each.predictions for each in subjects])
    return subjects


def _subjects_of_run(given: GivenRun, inputs: Inputs, options: ReportOptions, ranks: Ranks) -> list[Subject]:
    """The run; the mean of its passes with dropout, where --mc-dropout asks for it and it has any; that of --tta."""
    weights = options.weights or given.settings.weights
    network, note = _restored(given, weights, options, ranks)
    log = read_metrics(given.path / "metrics.jsonl")
    if network is None:
        assert given.stored is not None
        check_ood_classes(inputs.ood_files, given.stored)
        return [subject_without_network(given.name, given.stored, inputs, note, log)]
    if given.stored:
        _check_labels(given.stored, network)
    plain, *means = answers(network, inputs, options, given.stored is not None)
    predictions = given.stored or _predictions(given, weights, network, plain)
    check_ood_classes(inputs.ood_files, predictions)
    dataset = network.dataset
    subject = Subject(
        name=given.name,
        predictions=predictions,
        classes=dataset.classes,
        ood_logits={short: inputs.ood_files[name] for short, name in inputs.ood.items() if name in inputs.ood_files}
        | plain.ood,
        walk=plain.walk,
        images=RunImages(
            train=partial(network.pixels, dataset.train_beton),
            test=partial(network.pixels, dataset.test_beton),
            files=partial(source_files, dataset.folder),
        ),
        proximity=proximities(network) if options.piece else None,
        pseudo_labels=sample_pseudo_labels(network, options.images) if options.images > 0 else None,
        log=log,
    )
    return [subject, *(_mean(subject, each) for each in means)]


def _mean(of: Subject, found: Answers) -> Subject:
    assert found.test is not None
    return Subject(
        name=f"{of.name}, {found.way}",
        predictions=replace(of.predictions, logits=found.test, validation=found.validation),
        classes=of.classes,
        ood_logits=found.ood,
        walk=found.walk,
        proximity=of.proximity,
    )


def _restored(given: GivenRun, weights: str, options: ReportOptions, ranks: Ranks) -> tuple[Restored | None, str]:
    """The network, or why there is none; an error only where the report cannot do without."""
    try:
        return restore(given.path, options.data, weights, options.checkpoint, ranks), ""
    except ValueError as error:
        if given.stored is None or options.needs_network:
            raise
        return None, str(error)


def _predictions(given: GivenRun, weights: str, network: Restored, found: Answers) -> VerifiedPredictions:
    """The network's predictions on its test set."""
    assert found.test is not None
    labels = open_beton(network.dataset.test_beton).metadata["f1"]
    logits, targets = checked(network.checkpoint, found.test, labels, "choose another --checkpoint")
    return VerifiedPredictions(
        path=given.path,
        settings=replace(given.settings, weights=weights),
        logits=logits,
        labels=targets,
        step=network.step,
        validation=found.validation,
    )


def _check_labels(stored: VerifiedPredictions, network: Restored) -> None:
    beton = network.dataset.test_beton
    if not np.array_equal(stored.labels, open_beton(beton).metadata["f1"]):
        raise ValueError(
            f"{stored.path / 'predictions.npz'}: its labels differ from those of {beton}; "
            "give the data folder that the run was trained on (--data)"
        )


def sample_pseudo_labels(network: Restored, limit: int) -> PseudoLabelSample | None:
    """Pseudo-labels of the first `limit` unlabelled images of train.beton; None without any.

    The order of a beton is random, so these are a random sample.
    """
    dataset = network.dataset
    known = dataset.not_unlabelled(include_labelled=False)  # and the validation images
    index = np.setdiff1d(np.arange(dataset.num_train), known, assume_unique=True)[:limit]
    if len(index) == 0:
        return None
    crops = network.crops(dataset.train_beton, index)
    logits = network.logits(crops).astype(np.float64)
    pseudo_label = logits.argmax(axis=1)
    apm = _apm(network, index, pseudo_label)
    return PseudoLabelSample(
        index=index,
        pseudo_label=pseudo_label,
        truth=crops.labels,
        confidence=softmax(logits).max(axis=1),
        margin=_margin(logits, pseudo_label) if apm is None else apm,
        is_apm=apm is not None,
    )


def _apm(network: Restored, index: Ints, pseudo_label: Ints) -> Floats | None:
    """APM [n] of the pseudo-labels, from the checkpoint; None where the run tracked none."""
    table = saved_tensor(network.checkpoint, APM_TABLE)
    if table is None or table.numel() == 0:
        return None
    config = network.config
    shards = VirtualShards.of(network.dataset.num_train, config.batch.labelled, config.unlabelled_batch)
    rows = shards.row_of(index, 0, 1)
    return table[torch.from_numpy(rows), torch.from_numpy(pseudo_label)].double().numpy()


def _margin(logits: Floats, pseudo_label: Ints) -> Floats:
    """[n] of the pseudo-labels."""
    margins = all_margins(torch.from_numpy(logits))
    return margins.gather(1, torch.from_numpy(pseudo_label)[:, None]).squeeze(1).numpy()
