"""Names of options and the code behind them: one list in options.py that costs no import, one in each registry."""

from pipeline.config import options, sections
from pipeline.methods.algorithms import ALGORITHMS
from pipeline.methods.label_losses import LABEL_LOSSES
from pipeline.methods.losses import LOSSES
from pipeline.methods.mixes import MIXES


def test_algorithms_have_the_options_names() -> None:
    assert tuple(ALGORITHMS) == options.ALGORITHMS
    assert set(options.LABELLED_ONLY) <= set(ALGORITHMS)


def test_mixes_have_the_options_names() -> None:
    assert tuple(MIXES) == options.MIXES


def test_losses_of_mixed_images_are_registered() -> None:
    choices = sections.MixingConfig.__dataclass_fields__["loss"].metadata["choices"]
    assert set(choices) <= set(LOSSES)


def test_losses_on_labels_have_the_options_names() -> None:
    assert tuple(LABEL_LOSSES) == sections.LOSSES
