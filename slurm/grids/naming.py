"""The name of a run folder: its method, and the hash of its options."""

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from pipeline.config import DEFAULTS, RESUMABLE_OPTIONS, flat_values
from pipeline.config.options import Config


def digest(config: Config) -> str:
    """Eight hexadecimal digits of what the run computes: the resolved options that are not at their defaults.

    Defaults are left out so that a new option does not rename the runs that do not use it.
    """
    chosen = {n: v for n, v in flat_values(config).items() if n not in RESUMABLE_OPTIONS and v != DEFAULTS[n]}
    return hashlib.sha256(json.dumps(chosen, sort_keys=True).encode()).hexdigest()[:8]


def method_name(config: Config, method: Mapping[str, Any], before: Mapping[str, Any]) -> str:
    """The folder of a method: algorithm, mix, and those options of ``method`` that change something.

    ``before`` holds every option as it would be without the method. So "SoftMatch + CM k=5" and "SoftMatch +
    CalibrateMix", the same run under two names, share a folder.
    """
    words = [config.algorithm, *([config.mix] if config.mix != "none" else [])]
    now = flat_values(config)
    for name in method:
        if now[name] != before[name] and name not in {"algorithm", "mix"}:
            words.append(f"{name.rpartition('.')[2]}={now[name]}")
    return re.sub(r"[^\w.=+-]+", "_", "-".join(words))
