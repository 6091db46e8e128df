"""FFCV compiles its decoder anew for each reader: half a second, and 4 MB of machine code that are never freed.

The tests open hundreds of readers in one process; here they share what is compiled from the same code.
"""

import sys
from collections.abc import Callable
from typing import Any

_compiled: dict[Any, Any] = {}


def install() -> None:
    """From now on FFCV's ``Compiler.compile`` answers from memory, if FFCV is imported. Once is enough."""
    module = sys.modules.get("ffcv.pipeline.compiler")
    if module is None or hasattr(module.Compiler, "compile_anew"):
        return
    module.Compiler.compile_anew = module.Compiler.compile
    module.Compiler.compile = classmethod(_compile)


def _compile(compiler: Any, code: Callable[..., Any], signature: object = None) -> Any:
    """As FFCV's own. The same code means: the same lines, closed over the same values, for the same threads."""
    cells = tuple(cell.cell_contents for cell in code.__closure__ or ())
    key = code.__code__, cells, signature, compiler.num_threads > 1
    try:
        known = _compiled.get(key)
    except TypeError:  # a value without a hash
        return compiler.compile_anew(code, signature)
    if known is None:
        known = _compiled[key] = compiler.compile_anew(code, signature)
    return known
