"""Grids: every table of the paper expands to its cells, and a run's folder says what it computes."""

import dataclasses
from collections import Counter
from functools import cache
from pathlib import Path

import pytest
import yaml

from slurm.grids import grid, naming, paper

TABLES = (1, 2, 3, 4)
DIGITS = {
    "seeds": [0, 1],
    "blocks": [{"datasets": {"digits": [4]}, "methods": {"FixMatch": {}, "CM": {"mix": "calibratemix"}}}],
}


def write(folder: Path, content: object) -> Path:
    path = folder / "grid.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


@cache
def table_grid(number: int) -> grid.Grid:
    return grid.load(grid.PROJECT / f"configs/table{number}.yaml")


@pytest.mark.parametrize("number", TABLES)
def test_a_table_grid_is_the_papers_cells_times_three_seeds(number: int) -> None:
    ours = Counter((cell.dataset, cell.labels, cell.method, cell.seed) for cell in table_grid(number).cells)
    cells = {(dataset, labels, method) for _, method, dataset, labels in paper.table(f"calibratemix/{number}")}
    assert ours == Counter((*cell, seed) for cell in cells for seed in (0, 1, 2))


SUPERVISED = {
    "mixup_table1": 9, "mixup_table2": 30, "mixup_table3": 36, "mixup_figure2": 216, "mixup_figure3": 30,
    "mixup_figure7": 18, "mixup_cifar10_jpeg": 36, "losses": 162,
}  # fmt: skip


@pytest.mark.parametrize("name", SUPERVISED)
def test_a_grid_of_supervised_training_has_the_papers_names(name: str) -> None:
    """Every cell has the error that the paper prints for it; Table 1 of mixup prints none."""
    found = grid.load(grid.PROJECT / f"configs/{name}.yaml")
    assert len(found.runs()) == len(found.cells) == SUPERVISED[name]
    assert {cell.config.algorithm for cell in found.cells} == {"supervised"}
    if found.paper and name != "mixup_table1":
        published = paper.table(found.paper)
        assert all(("error", cell.method, cell.dataset, cell.labels) in published for cell in found.cells)


def test_a_dataset_of_more_classes_has_its_own_margin() -> None:
    cells = grid.load(grid.PROJECT / "configs/losses.yaml", only="method=MbLS,seed=0").cells
    assert {(cell.dataset, cell.config.loss.margin) for cell in cells} == {
        ("cifar10", 6), ("cifar100", 6), ("tiny_imagenet", 10),
    }  # fmt: skip


def test_the_tables_share_the_runs_that_they_repeat() -> None:
    runs = {number: set(table_grid(number).runs()) for number in TABLES}
    assert {number: len(found) for number, found in runs.items()} == {1: 204, 2: 360, 3: 48, 4: 42}
    assert len(runs[1] & runs[2]) == 90  # CalibrateMix on three methods, ten columns, three seeds
    assert len(runs[1] & runs[4]) == 12  # SoftMatch, and k=5, which is CalibrateMix as it is
    assert len(set.union(*runs.values())) == 204 + 360 + 48 + 42 - 90 - 12


def test_method_options() -> None:
    by_method = {cell.method: cell.config for cell in (*table_grid(2).cells, *table_grid(4).cells)}
    both = by_method["FlexMatch + CalibrateMix + LS"]
    assert (both.algorithm, both.mix, both.label_smoothing) == ("flexmatch", "calibratemix", 0.1)
    assert by_method["SoftMatch + mixup all -warmup"].warmup == 0
    assert by_method["SoftMatch + mixup all +warmup"].warmup == 102400
    assert [by_method[f"SoftMatch + CM k={k}"].mixing.k_percent for k in ("0 (no cosine)", 5, 10, 15)] == [0, 5, 10, 15]


def test_full_supervision_on_stl10_uses_the_labels_the_paper_most_likely_used() -> None:
    cells = [cell for cell in table_grid(1).cells if cell.method.startswith("FullySupervised")]
    assert {(cell.dataset, cell.labels, cell.config.labels) for cell in cells} == {
        ("cifar10", "all", "all"),
        ("cifar100", "all", "all"),
        ("svhn", "all", "all"),
        ("stl10", "all", "100"),
    }


def test_folder_name(tmp_path: Path) -> None:
    content = {**DIGITS, "root": str(tmp_path / "shared")}
    content["blocks"] = [
        {
            "datasets": {"digits": {"labels": [4], "options": {"steps": 50}}},
            "methods": {"k": {"mix": "calibratemix", "mixing": {"k_percent": 10}, "steps": 50}},
        }
    ]
    first, second = grid.load(write(tmp_path, content)).cells
    assert first.folder.parent == tmp_path / "shared/digits/fixmatch-calibratemix-k_percent=10.0/4"
    assert first.folder.name == f"0-{naming.digest(first.config)}"
    assert second.folder.name.startswith("1-")


def test_a_cell_is_its_data_sets_config_and_a_few_options_over_it(tmp_path: Path) -> None:
    content = {**DIGITS, "options": {"steps": 90, "batch": {"labelled": 8}}}
    cells = grid.load(write(tmp_path, content), ["steps=80"]).cells
    assert {cell.config.model.name for cell in cells} == {"wrn-10-1"}  # of configs/digits.yaml
    assert {(cell.config.steps, cell.config.batch.labelled) for cell in cells} == {(80, 8)}


def test_a_method_under_two_names_is_one_run(tmp_path: Path) -> None:
    content = {**DIGITS, "seeds": [0]}
    content["blocks"] = [{"datasets": {"digits": [4]}, "methods": {"A": {}, "B": {"mixing": {"k_percent": 5}}}}]
    found = grid.load(write(tmp_path, content))
    assert len(found.cells) == 2
    assert len(found.runs()) == 1


def test_select() -> None:
    table = table_grid(1)
    chosen = grid.select(table, "dataset=cifar10|svhn, seed=0, method=fixmatch")
    assert {(c.dataset, c.labels) for c in chosen.cells} == {
        ("cifar10", "4"),
        ("cifar10", "25"),
        ("cifar10", "400"),
        ("svhn", "4"),
        ("svhn", "100"),
    }
    assert {c.seed for c in chosen.cells} == {0}
    with pytest.raises(ValueError, match=r"no cell has seed=3; the grid has 0, 1, 2"):
        grid.select(table, "seed=3")
    with pytest.raises(ValueError, match=r"unknown key data; did you mean dataset\?"):
        grid.select(table, "data=cifar10")


def test_hours_grow_with_steps_and_mixing(tmp_path: Path) -> None:
    path = write(tmp_path, {**DIGITS, "gpu_hours": {"digits": 8}, "mixing_factor": 1.5, "options": {"steps": 2**18}})
    found = grid.load(path)
    assert [found.hours(cell) for cell in found.cells] == [2, 2, 3, 3]
    assert table_grid(3).hours(dataclasses.replace(found.cells[0], dataset="photos")) is None


MISTAKES = {
    "unknown key seed; did you mean seeds": {**DIGITS, "seed": [0]},
    "seeds: expected a list of whole numbers": {**DIGITS, "seeds": 3},
    "has no blocks": {"seeds": [0]},
    "has no methods": {"blocks": [{"datasets": {"digits": [4]}}]},
    "unknown key method; did you mean methods": {"blocks": [{"datasets": {"digits": [4]}, "method": {}}]},
    "expected a list of labels": {"blocks": [{"datasets": {"digits": {"labels": 4}}, "methods": {"a": {}}}]},
    "configs/photos.yaml does not exist": {"blocks": [{"datasets": {"photos": [4]}, "methods": {"a": {}}}]},
    "mixin: unknown option; did you mean mix": {
        "blocks": [{"datasets": {"digits": [4]}, "methods": {"a": {"mixin": "all"}}}]
    },
    "algorithm: unknown value 'fixmatsch'; did you mean fixmatch": {
        "blocks": [{"datasets": {"digits": [4]}, "methods": {"a": {"algorithm": "fixmatsch"}}}]
    },
}


@pytest.mark.parametrize("message", MISTAKES)
def test_mistakes_are_said_in_one_line(message: str, tmp_path: Path) -> None:
    path = write(tmp_path, MISTAKES[message])
    with pytest.raises(ValueError) as raised:
        grid.load(path)
    assert message in str(raised.value)
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_data_set_without_a_config_file(tmp_path: Path) -> None:
    content = {
        "blocks": [{"datasets": {"photos": {"labels": [4], "config": None}}, "methods": {"a": {}}}],
        "seeds": [0],
    }
    (cell,) = grid.load(write(tmp_path, content)).cells
    assert cell.config.dataset == "photos"
    with pytest.raises(ValueError, match="cannot be read"):
        grid.load(tmp_path / "absent.yaml")
