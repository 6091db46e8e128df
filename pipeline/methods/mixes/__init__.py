"""What is mixed on top of an algorithm, by name. A new one is a file like the others, and a line here."""

from collections.abc import Callable

from pipeline.methods.mixes.calibratemix import CalibrateMix
from pipeline.methods.mixes.mixup_all import MixupAll
from pipeline.methods.mixes.none import NoMix
from pipeline.methods.mixes.random_mixup import RandomMixup
from pipeline.methods.protocols import Mix, Problem

MIXES: dict[str, Callable[[Problem], Mix]] = {
    "none": NoMix,
    "calibratemix": CalibrateMix,
    "random": RandomMixup,
    "all": MixupAll,
}
