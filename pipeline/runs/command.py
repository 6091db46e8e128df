"""The command line of a training run: options, what is said to the user, exit codes. Importable without torch."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from typing import TypeVar

from pipeline.config.schema import RunOptions
from pipeline.runs.folder import RunFolder
from pipeline.runs.host_tuning import tune_host

Options = TypeVar("Options", bound=RunOptions)


def run_command(
    arguments: Sequence[str] | None,
    parser: argparse.ArgumentParser,
    load: Callable[[str | None, Sequence[str]], Options],
    launch: Callable[[Options], int],
) -> int:
    """Reads --config and --set, and launches what is not finished; 2 for a user's mistake, one line by rank 0.

    ``launch`` imports torch and FFCV: seconds that --help and a typo need not wait for.
    """
    given = parser.parse_args(arguments)
    try:
        config = load(given.config, given.set)
        folder = RunFolder(config)
        if folder.is_finished:
            folder.check()
            say(f"{folder.path}: finished already; nothing to do (result.json)")
            return 0
        tune_host()  # before torch loads the libraries that read it
        return launch(config)
    except ValueError as error:
        say(f"error: {error}", error=True)
        return 2


def options_parser(description: str, options: str) -> argparse.ArgumentParser:
    """Of --config and --set, with a help text that lists the ``options``."""
    parser = argparse.ArgumentParser(
        description=description,
        epilog="options of --config and --set:\n" + options,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--config", help="YAML file of options")
    parser.add_argument(
        "--set", nargs="+", action="extend", default=[], metavar="a.b=c", help="options that override the file's"
    )
    return parser


def say(text: str, error: bool = False) -> None:
    """On rank 0's stdout or, an error, on stderr."""
    rank = os.environ.get("RANK", 0)
    if error:  # it may be one of this machine alone, such as too few GPUs
        rank = os.environ.get("LOCAL_RANK", rank)
    if int(rank) == 0:
        print(text, file=sys.stderr if error else sys.stdout)
