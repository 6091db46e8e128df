"""What runs are called in tables and figures."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path


def method_name(config: Mapping[str, object]) -> str:
    """Algorithm and mix of a run's options; "" where they do not say."""
    algorithm, mix = config.get("algorithm", ""), config.get("mix", "none")
    return str(algorithm) if mix == "none" or not algorithm else f"{algorithm} + {mix}"


def run_names(methods: Sequence[str], paths: Sequence[Path]) -> list[str]:
    """A short distinct name per run: its method, with the folder where that is missing or not unique.

    ValueError if a run is given twice.
    """
    folders = short_folders(paths)
    repeats = Counter(methods)
    names = []
    for method, folder in zip(methods, folders, strict=True):
        parts = [method] if repeats[method] == 1 else [method, folder]
        names.append(", ".join(parts) if method else folder)
    return names


def short_folders(folders: Sequence[Path]) -> list[str]:
    """The shortest tail of each path that sets it apart from the others; ValueError if one is given twice."""
    resolved = [folder.resolve() for folder in folders]
    for folder, times in Counter(resolved).items():
        if times > 1:
            raise ValueError(f"{folder} is given {times} times; give it once")
    names = [_tail(folder, 1) for folder in resolved]
    length = 1
    while len(set(names)) < len(names):
        length, repeats = length + 1, Counter(names)
        for number, folder in enumerate(resolved):
            if repeats[names[number]] > 1:
                names[number] = _tail(folder, length)
    return names


def _tail(folder: Path, length: int) -> str:
    return "/".join(folder.parts[-length:])
