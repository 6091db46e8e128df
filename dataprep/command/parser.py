"""What the command says about itself: examples, a first screen, and the nearest valid name for a mistyped one."""

import argparse
import difflib
import re
from collections.abc import Iterable
from typing import NoReturn

from dataprep.layouts.catalog import DATASETS

EXAMPLES = """\
examples:
  make_beton.py digits                                  comes with scikit-learn: no download
  make_beton.py cifar10                                 is downloaded, as are cifar100, svhn, stl10,
                                                        fashion_mnist and tiny_imagenet
  make_beton.py imagenet                                also webvision: says where their files come from
  make_beton.py folder --source photos --name photos    your own images: class folders, or an archive of them
  make_beton.py folder --source photos --dry-run        says which classes it finds, and writes nothing
  make_beton.py cifar10 --labels-per-class 10 --seeds 3 adds splits to a finished set, in a second call
  make_beton.py cifar10 --verify                        checks a finished set, down to the last image
  make_beton.py groups --source photos --of imagenet    generated images: CLASSA_CLASSB/GROUP/PLACE.png
"""
FIRST_SCREEN = f"""\
usage: python dataprep/make_beton.py NAME [--source PATH] [--out DATA] [option ...]

Turns an image set into a data folder for training, DATA/NAME: betons, labelled splits, a manifest.

{EXAMPLES}
--help explains every option.
make_beton.py: error: name a data set: {", ".join(DATASETS)}
"""


class CommandParser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """One line about the mistake, with the nearest valid name; a command without a word gets the first screen."""
        if message.endswith("required: NAME"):
            self.exit(2, FIRST_SCREEN)
        unknown = re.match(r"unrecognized arguments: (--[^ =]*)", message)
        choice = re.match(r"argument (\S+): invalid choice: '(.*?)' ", message)
        if unknown:
            options = [name for name in self._option_string_actions if name.startswith("--")]
            message = f"{unknown[1]}: unknown option; {did_you_mean(unknown[1], options) or '--help explains all'}"
        elif choice:
            known = [str(each) for each in self._option_string_actions[choice[1]].choices or ()]
            hint = did_you_mean(choice[2], known)
            message = f"{choice[1]} {choice[2]}: {f'{hint} ' if hint else ''}known are {', '.join(known)}"
        self.exit(2, f"make_beton.py: error: {message}\n")


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A question with the nearest of the known names; '' where none is near."""
    near = difflib.get_close_matches(name, list(known), 1)
    return f"did you mean {near[0]}?" if near else ""
