"""Convert an image set to FFCV betons: python dataprep/make_beton.py NAME [--source PATH] [--out DATA] ..."""

# ruff: noqa: E402 (Ctrl-C is seen to before the other imports, which take a while)
import os
import signal
import sys

_INTERRUPTIBLE = signal.getsignal(signal.SIGINT) is signal.default_int_handler  # not so in the background of a shell


def _interrupt_at_once(number: int, frame: object) -> None:
    os.write(2, b"make_beton.py: interrupted; nothing was begun\n")
    os._exit(130)


if __name__ == "__main__" and _INTERRUPTIBLE:  # while the rest is imported there is nothing to clean up
    signal.signal(signal.SIGINT, _interrupt_at_once)

import errno
from types import FrameType
from typing import NoReturn

from dataprep.command import outcome
from dataprep.command.arguments import parse
from dataprep.command.options import BuildOptions, GroupOptions
from dataprep.workers import WorkerDied

KEPT = "finished parts are kept, and the same command resumes from them"
NOT_KEPT = "nothing is left of it, and the same command begins anew"


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit code: 0 made or verified, 1 a system error, 2 the user's mistake, 130 interrupted."""
    options = None
    try:
        options = parse(arguments)
        print(_run(options))
    except ValueError as error:
        return _fail(2, str(error))
    except WorkerDied as error:
        return _fail(1, f"{error}; {_kept(options)}")
    except OSError as error:
        if options and error.errno == errno.ENOSPC:
            return _fail(
                1, f"{options.out}: the disk is full; {_kept(options)}; free some space or choose another --out"
            )
        return _fail(1, str(error))
    except KeyboardInterrupt:
        print(f"make_beton.py: interrupted; {_kept(options)}", file=sys.stderr)
        return 130
    return 0


def _run(options: BuildOptions | GroupOptions) -> str:
    """Make, verify or foretell the data folder; returns a line that sums it up."""
    if isinstance(options, GroupOptions):
        from dataprep.command.groups import make_groups

        return make_groups(options)
    if options.verify:
        from dataprep.verification.verify import verify  # FFCV takes seconds to import

        return outcome.verified(options.folder, verify(options.folder, options.workers))
    if options.dry_run:
        from dataprep.command.dry_run import dry_run

        return dry_run(options)
    from dataprep.command.build import build  # each worker imports this file too, and needs none of it

    return build(options)


def _kept(options: BuildOptions | GroupOptions | None) -> str:
    return NOT_KEPT if isinstance(options, GroupOptions) else KEPT


def _fail(code: int, message: str) -> int:
    print(f"make_beton.py: error: {message}", file=sys.stderr)
    return code


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt  # a cancelled job cleans up as after Ctrl-C


if __name__ == "__main__":
    if _INTERRUPTIBLE:
        signal.signal(signal.SIGINT, _interrupt)
    signal.signal(signal.SIGTERM, _interrupt)
    sys.exit(main())
