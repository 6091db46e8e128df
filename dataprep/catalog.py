"""The data sets make_beton.py knows, one line each."""

from collections.abc import Callable
from dataclasses import dataclass

from dataprep.digits import list_digits
from dataprep.folder import list_folder
from dataprep.listing import Listing, Request


@dataclass(frozen=True)
class DataSet:
    """How to list a set, and its defaults.

    labels_per_class: splits drawn without options, those that fit. flip: may images be mirrored.
    needs_source: it reads files from --source (default DATA/raw/NAME).
    """

    list: Callable[[Request], Listing]
    labels_per_class: tuple[int, ...]
    flip: bool
    needs_source: bool = True


DATASETS: dict[str, DataSet] = {
    "digits": DataSet(list_digits, labels_per_class=(4, 25), flip=False, needs_source=False),
    "folder": DataSet(list_folder, labels_per_class=(4, 25, 100, 400), flip=True),
}
