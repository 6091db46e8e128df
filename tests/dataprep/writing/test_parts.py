"""Stretches of encoded images on disk."""

from pathlib import Path

from dataprep.images.decoding import Recipe
from dataprep.sources.contents import doubtful
from dataprep.sources.entries import Entry
from dataprep.sources.readers import FileReader
from dataprep.writing.parts import encode_part, part_length, read_part
from tests.support.dataprep_fixtures import put_image


def test_parts_do_not_depend_on_workers_and_stay_small() -> None:
    assert [part_length(total, "jpg") for total in (10, 50_000, 1_281_167, 14_000_000)] == [64, 196, 5005, 10_000]
    assert part_length(60_000, "raw") == 1024


def test_what_could_not_be_read_is_tried_again(tmp_path: Path) -> None:
    put_image(tmp_path, "here.png")
    entries = [Entry("here.png", 1, 100, 0), Entry("gone.png", 2, 100, 0)]
    recipe = Recipe(size=12, encoding="raw", quality=0, resize="squash")
    for name, some, retry in (("all", entries, True), ("one", entries[:1], False)):
        encode_part(FileReader(f"{tmp_path}/"), recipe, some, tmp_path / name)
        part = read_part(tmp_path / name)
        assert part and part.labels.tolist() == [1] and part.sizes.tolist() == [12 * 12 * 3]
        assert doubtful(some, part.records, rehash=False) == ([1] if retry else [])
        assert part.rejects == ([("gone.png", "FileNotFoundError: No such file or directory")] if retry else [])
