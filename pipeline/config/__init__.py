"""Options of a training run: declared in options.py, preset in presets.py, read and checked in reading.py."""

from pipeline.config.options import Config
from pipeline.config.reading import OPTIONS, build, describe, load, options, read_yaml

__all__ = ["OPTIONS", "Config", "build", "describe", "load", "options", "read_yaml"]
