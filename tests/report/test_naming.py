"""Runs are called by their method, and by as much of their folder as sets them apart."""

from pathlib import Path

import pytest

from pipeline.report.naming import method_name, run_names, short_folders


def test_names_tell_methods_and_else_folders() -> None:
    configs: list[dict[str, object]] = [
        {"algorithm": "fixmatch", "mix": "none"}, {"algorithm": "fixmatch", "mix": "random"}, {},
    ]  # fmt: skip
    methods = [method_name(config) for config in configs]
    paths = [Path("/x/a"), Path("/x/b"), Path("/y/p.npz")]
    assert run_names(methods, paths) == ["fixmatch", "fixmatch + random", "p.npz"]
    assert run_names(methods[:1] * 2, paths[:2]) == ["fixmatch, a", "fixmatch, b"]


def test_short_folders_keep_the_fewest_parts() -> None:
    folders = [Path("/x/a/1"), Path("/x/b/1"), Path("/y/b/1"), Path("/x/b/2")]
    assert short_folders(folders) == ["a/1", "x/b/1", "y/b/1", "2"]
    with pytest.raises(ValueError, match="/x/a/1 is given 2 times"):
        short_folders([folders[0], folders[1], Path("/x/b/../a/1")])
