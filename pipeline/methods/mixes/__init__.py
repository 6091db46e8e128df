"""What is mixed on top of an algorithm, by name. A new one is a file, a line here, and its name in
config/options.py."""

from collections.abc import Callable

from pipeline.methods.mixes.calibratemix import CalibrateMix
from pipeline.methods.mixes.manifold import ManifoldMixup
from pipeline.methods.mixes.mixup import Mixup, RegMixup
from pipeline.methods.mixes.mixup_all import MixupAll
from pipeline.methods.mixes.none import NoMix
from pipeline.methods.mixes.random_mixup import RandomMixup
from pipeline.methods.protocols import MethodContext, Mix

MIXES: dict[str, Callable[[MethodContext], Mix]] = {
    "none": NoMix,
    "calibratemix": CalibrateMix,
    "random": RandomMixup,
    "all": MixupAll,
    "mixup": Mixup,
    "regmixup": RegMixup,
    "manifold": ManifoldMixup,
}
