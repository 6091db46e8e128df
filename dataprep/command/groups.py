"""make_beton.py groups: packs groups of generated images, or verifies what was packed."""

from collections.abc import Callable
from typing import Any

from dataprep.command.checks import is_plain
from dataprep.command.options import GroupOptions
from dataprep.data_folder import manifest
from dataprep.generated.shards import SETTINGS

GROUPS = "groups"
_USED = {"dataset", "source", "out", "name", "of", "workers", "verify"}


def group_options(args: dict[str, Any], default_of: Callable[[str], Any]) -> GroupOptions:
    """The options of `groups`; default_of(name) is that of any option. Raises ValueError for one without a meaning."""
    name = args["name"] or (f"{args['of']}-csm" if args["of"] else "")
    others = [key for key in args if key not in _USED and args[key] != default_of(key)]
    other = "".join(f"--{'no-' if args[key] is False else ''}{key.replace('_', '-')}" for key in others[:1])
    rules = [
        (not others, f"{other} is not an option of {GROUPS}"),
        (bool(name), f"{GROUPS}: name the data set with --of NAME, or the result with --name"),
        (is_plain(name), f"--name {name!r}: use a plain folder name other than 'raw'"),
        (args["workers"] >= 1, "--workers must be at least 1"),
        (args["verify"] or args["source"] is not None, f"{GROUPS}: name the folder that holds them with --source"),
        (args["source"] is None or args["source"].is_dir(), f"--source {args['source']} is not a folder"),
    ]
    for holds, message in rules:
        if not holds:
            raise ValueError(message)
    return GroupOptions(name, args["source"], args["of"], args["out"], args["workers"], args["verify"])


def make_groups(options: GroupOptions) -> str:
    """Make or verify the data folder; returns a line that sums it up. Raises ValueError or OSError."""
    if options.verify:
        from dataprep.generated.verify import verify  # FFCV takes seconds to import

        return verify(options.folder, options.workers)
    from dataprep.generated.pack import pack_source  # each worker imports make_beton.py, and needs none of it
    from dataprep.generated.shard_source import shard_source
    from dataprep.generated.tree_source import tree_source

    assert options.source is not None
    if (options.source / SETTINGS).exists():
        source = shard_source(options.source)
        if options.of not in (None, source.dataset):
            raise ValueError(f"--of {options.of}: {options.source} holds groups of {source.dataset}; leave --of out")
    elif options.of is None:
        raise ValueError(f"{options.source} holds no shards; for a folder of images name its data set with --of NAME")
    else:
        source = tree_source(options.source, _manifest_of(options.of, options))
    return pack_source(source, options.folder, options.workers)


def _manifest_of(name: str, options: GroupOptions) -> manifest.Manifest:
    if not (options.out / name).is_dir():
        raise ValueError(f"--of {name}: {options.out / name} does not exist; make it with make_beton.py first")
    return manifest.read(options.out / name)
