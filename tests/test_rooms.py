"""The plan of the house: imports point down the order of the rooms, and no file imports itself by a detour.

Every import counts, inside functions and under ``TYPE_CHECKING`` too.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOMS = {
    "pipeline": (
        "config", "randomness", "devices", "distributed", "runs", "augment", "data", "annotation", "calibration",
        "models", "methods", "training", "generator", "report", "encoders", "prediction", "shipping", "train",
        "train_generator", "generate", "annotate", "evaluate", "predict", "export", "compare", "augment_sheet",
        "label_entropy", "balance",
    ),
    "dataprep": (
        "console", "progress_meter", "workers", "sources", "images", "data_folder", "layouts", "writing",
        "verification", "generated", "command", "make_beton",
    ),
    "slurm": ("grids", "jobs", "outcome", "collect", "submit"),
}  # fmt: skip
OUTSIDE = {
    "pipeline": {"dataprep.generated"},
    "dataprep": set(),
    "slurm": {"pipeline.config", "pipeline.runs", "pipeline.calibration"},
}
# New images are listed and decoded by the very code that makes betons.
OUTSIDE["pipeline"] |= {"dataprep.console", "dataprep.images", "dataprep.layouts"}
OUTSIDE["pipeline"] |= {"dataprep.progress_meter", "dataprep.sources", "dataprep.workers"}


def modules(package: str) -> dict[str, Path]:
    """Every file of a package by its dotted name."""
    files = (path.relative_to(ROOT) for path in (ROOT / package).rglob("*.py"))
    return {".".join(f.with_suffix("").parts).removesuffix(".__init__"): f for f in files}


ALL = {name: path for package in OUTSIDE for name, path in modules(package).items()}


def imported(name: str) -> Iterator[str]:
    """The files of ours that a file imports."""
    for node in ast.walk(ast.parse((ROOT / ALL[name]).read_text())):
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{ALL[name]}: a relative import"
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            found = [whole if whole in ALL else str(node.module) for whole in inner]
        else:
            continue
        yield from (each for each in found if each in ALL and each != name)


IMPORTS = {name: set(imported(name)) for name in ALL}


def circle(graph: dict[str, set[str]]) -> list[str]:
    """Names that import each other in a ring; [] where there is no ring."""
    done: set[str] = set()

    def visit(name: str, path: list[str]) -> list[str]:
        if name in path:
            return [*path[path.index(name) :], name]
        if name in done:
            return []
        rings = (visit(other, [*path, name]) for other in sorted(graph.get(name, ())))
        found = next((ring for ring in rings if ring), [])
        done.add(name)
        return found

    return next((ring for name in sorted(graph) if (ring := visit(name, []))), [])


def test_no_file_imports_itself_by_a_detour() -> None:
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]
    assert circle(IMPORTS) == []


def room(name: str) -> str:
    return name.split(".")[1] if "." in name else ""


@pytest.mark.parametrize("package", ROOMS)
def test_arrows_point_down_the_order_of_the_rooms(package: str) -> None:
    order = {name: number for number, name in enumerate(ROOMS[package])}
    assert {room(name) for name in modules(package)} - {""} == set(order), "a room without a place in the order"
    up = [
        f"{name} -> {other}"
        for name in modules(package)
        for other in IMPORTS[name]
        if other.startswith(f"{package}.") and name != package and order[room(other)] > order[room(name)]
    ]
    assert up == []


@pytest.mark.parametrize("package", OUTSIDE)
def test_packages_know_each_other_only_where_they_may(package: str) -> None:
    for name in modules(package):
        others = {".".join(other.split(".")[:2]) for other in IMPORTS[name] if other.split(".")[0] != package}
        assert others <= OUTSIDE[package], f"{name} imports {others - OUTSIDE[package]}"


def test_types_are_imported_as_everything_else() -> None:
    guarded = [str(path) for path in ALL.values() if "TYPE_CHECKING" in (ROOT / path).read_text()]
    assert guarded == []


def test_step_types_import_nothing_of_ours() -> None:
    assert IMPORTS["pipeline.methods.step_types"] == set()
