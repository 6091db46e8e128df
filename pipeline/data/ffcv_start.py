"""The parts of FFCV that we use, imported in a fraction of the three seconds that ``import ffcv`` costs a process.

FFCV keeps two constants in a numba dictionary, and filling it compiles it. Only Python code reads them, so while FFCV
is imported a plain dictionary takes its place.
"""

import numba.typed

_numbas = numba.typed.Dict
numba.typed.Dict = dict  # type: ignore[misc,assignment]
try:
    from ffcv.fields.decoders import SimpleRGBImageDecoder
    from ffcv.loader import Loader, OrderOption
    from ffcv.loader.epoch_iterator import EpochIterator
    from ffcv.pipeline.allocation_query import AllocationQuery
    from ffcv.pipeline.operation import Operation
    from ffcv.pipeline.state import State
    from ffcv.reader import Reader
    from ffcv.types import ALLOC_TABLE_TYPE, CURRENT_VERSION, FieldDescType, HeaderType
finally:
    numba.typed.Dict = _numbas  # type: ignore[misc]

__all__ = [
    "ALLOC_TABLE_TYPE",
    "CURRENT_VERSION",
    "AllocationQuery",
    "EpochIterator",
    "FieldDescType",
    "HeaderType",
    "Loader",
    "Operation",
    "OrderOption",
    "Reader",
    "SimpleRGBImageDecoder",
    "State",
]
