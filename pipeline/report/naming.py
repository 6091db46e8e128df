"""What runs are called in tables and figures."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def method_name(config: dict[str, Any]) -> str:
    """Algorithm and mix; "" where the options do not say."""
    algorithm, mix = config.get("algorithm", ""), config.get("mix", "none")
    return str(algorithm) if mix == "none" or not algorithm else f"{algorithm} + {mix}"


def run_names(configs: Sequence[dict[str, Any]], paths: Sequence[Path]) -> list[str]:
    """A short distinct name per run: its method, and the folder where that is missing or the same twice."""
    methods = [method_name(config) for config in configs]
    folders = short_folders(paths)
    repeats = Counter(methods)
    names = []
    for method, folder in zip(methods, folders, strict=True):
        parts = [method] if repeats[method] == 1 else [method, folder]
        names.append(", ".join(parts) if method else folder)
    return names


def short_folders(folders: Sequence[Path]) -> list[str]:
    """Each folder's fewest last parts that set it apart from the others; ValueError if one is given twice."""
    resolved = [folder.resolve() for folder in folders]
    for folder, times in Counter(resolved).items():
        if times > 1:
            raise ValueError(f"{folder} is given {times} times; give it once")
    names = [_tail(folder, 1) for folder in resolved]
    length = 1
    while len(set(names)) < len(names):
        length, repeats = length + 1, Counter(names)
        for position, folder in enumerate(resolved):
            if repeats[names[position]] > 1:
                names[position] = _tail(folder, length)
    return names


def _tail(folder: Path, length: int) -> str:
    return "/".join(folder.parts[-length:])
