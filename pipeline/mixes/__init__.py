"""What is mixed on top of an algorithm, by name. A new one is a file like the others, and a line here."""

from collections.abc import Callable

from pipeline.mixes.calibratemix import CalibrateMix
from pipeline.mixes.mixup_all import MixupAll
from pipeline.mixes.none import NoMix
from pipeline.mixes.random_mixup import RandomMixup
from pipeline.pseudo_labels import Mix, Problem

MIXES: dict[str, Callable[[Problem], Mix]] = {
    "none": NoMix,
    "calibratemix": CalibrateMix,
    "random": RandomMixup,
    "all": MixupAll,
}
