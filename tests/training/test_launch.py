"""What only the launch knows: the number of ranks."""

from dataclasses import replace
from pathlib import Path

import pytest

from pipeline import config
from pipeline.data.dataset import HeldOut, open_dataset
from pipeline.runs.folder import RunFolder
from pipeline.training import launch


@pytest.mark.parametrize(("world", "refused"), [(4, False), (8, True)])
def test_an_easy_and_a_hard_half_on_each_rank(
    world: int, refused: bool, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One labelled image a rank has no hard half to draw from: once an IndexError on all ranks."""
    sets = [f"data={data}", f"out={tmp_path}/run", "dataset=digits", "mix=all", "mixing.scope=local"]
    given = config.load(None, [*sets, "batch.labelled=8", "steps=10"])
    for name, value in (("RANK", "1"), ("WORLD_SIZE", str(world))):
        monkeypatch.setenv(name, value)
    dataset, folder = open_dataset(given), RunFolder(given)
    if refused:
        with pytest.raises(ValueError, match=r"gives 8 ranks fewer than 2 each: raise it to 16"):
            launch.check(given, dataset, folder)
    else:
        launch.check(given, dataset, folder)


@pytest.mark.parametrize("folder_has_its_own", [False, True])
def test_validation_images_that_cannot_be_drawn(folder_has_its_own: bool, data: Path, tmp_path: Path) -> None:
    given = config.load(None, [f"data={data}", f"out={tmp_path}/run", "dataset=digits", "steps=10"])
    given = replace(given, unlabelled=replace(given.unlabelled, include_validation=True))
    dataset = open_dataset(given)
    if folder_has_its_own:
        dataset = replace(dataset, validation=HeldOut(dataset.test_beton, None))
    where = "lie in validation.beton" if folder_has_its_own else "are none"
    with pytest.raises(ValueError, match=rf"unlabelled.include_validation=true: .* {where}.* set validation=N"):
        launch.check(given, dataset, RunFolder(given))
