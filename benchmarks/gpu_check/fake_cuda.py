"""CUDA tensors without a GPU: shapes, dtypes and devices are followed, no number is computed (torch's FakeTensorMode).

What on a real GPU would wait for the device raises ``DeviceWait``, tensors of two devices in one operation raise
``DeviceMixup``. What is launched is counted. Forward and backward.

The process is changed for good by ``pretend_cuda``: give it one of its own.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import torch
import torch.cuda.amp.common
from torch import Tensor
from torch._subclasses.fake_tensor import DataDependentOutputException, DynamicOutputShapeException, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode, _get_current_dispatch_mode_stack
from torch.utils._pytree import tree_leaves
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

DEVICE = torch.device("cuda", 0)
CPU = torch.device("cpu")
aten = torch.ops.aten
# What on CUDA returns a number, or a tensor whose size depends on values, to the host.
WAITING = {
    aten._local_scalar_dense.default,
    aten.nonzero.default,
    aten.masked_select.default,
    aten.equal.default,
    aten.is_nonzero.default,
    aten._unique2.default,
    aten.unique_dim.default,
    aten.bincount.default,
    aten.repeat_interleave.Tensor,
}
COPIES = {aten._to_copy.default, aten.copy_.default}
INDEXING = {aten.index.Tensor, aten.index_put_.default, aten.index_put.default}
# Without a kernel: memory alone, or another view of it.
NO_LAUNCH = {
    aten.empty.memory_format,
    aten.empty_like.default,
    aten.empty_strided.default,
    aten.new_empty.default,
    aten.new_empty_strided.default,
    aten._unsafe_view.default,
    aten.lift_fresh.default,
    torch.ops.prim.device.default,
}


class DeviceWait(AssertionError):
    """The host would wait for the device."""


class DeviceMixup(AssertionError):
    """Tensors of different devices meet."""


class FakeCuda(TorchDispatchMode):
    """Raises where a step would wait or mix devices; ``launched`` counts operations by phase. Inside FakeTensorMode."""

    def __init__(self) -> None:
        super().__init__()
        self.launched: Counter[str] = Counter()
        self.phases = ["other"]
        self.in_engine = False

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """What is launched inside belongs to ``name``, but for phases inside it."""
        self.phases.append(name)
        yield
        self.phases.pop()

    def around(self, owner: Any, method: str, name: str) -> None:
        """From now on ``owner.method`` is a phase."""
        original: Callable[..., Any] = getattr(owner, method)

        def counted(*args: Any, **kwargs: Any) -> Any:
            with self.phase(name):
                return original(*args, **kwargs)

        setattr(owner, method, counted)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if self.in_engine:
            if func is torch.ops.prim.device.default:
                return CPU  # see _follow_the_engine
            if func is aten.new_empty_strided.default and kwargs.get("device") == CPU:
                kwargs = {**kwargs, "device": DEVICE}
        _check(func, args, kwargs)
        if func not in NO_LAUNCH and not func.is_view:
            self.launched[self.phases[-1]] += _launches(func, args)
        if func in (aten._fused_sgd_.default, aten._fused_adam_.default):  # torch knows no fake of them
            return None
        try:
            return func(*args, **kwargs)
        except (DataDependentOutputException, DynamicOutputShapeException) as error:
            raise DeviceWait(f"{func} waits for the device") from error
        except RuntimeError as error:
            if "different devices" in str(error):
                raise DeviceMixup(str(error)) from error
            raise


def _launches(func: Any, args: Any) -> int:
    """One, but one a tensor where an operation on lists is given several dtypes and leaves its fast path."""
    lists = [arg for arg in args if isinstance(arg, list | tuple) and arg and isinstance(arg[0], Tensor)]
    if not func.name().startswith("aten::_foreach_") or not lists:
        return 1
    return 1 if len({tensor.dtype for tensors in lists for tensor in tensors}) == 1 else len(lists[0])


def _check(func: Any, args: Any, kwargs: Any) -> None:
    """Raises before an operation that a GPU would wait in, or refuse."""
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
    if func in COPIES:
        target = kwargs.get("device") or (args[0] if func is aten.copy_.default else tensors[-1]).device
        blocks = not (kwargs.get("non_blocking") or (func is aten.copy_.default and len(args) > 2 and args[2]))
        if blocks and target.type != tensors[-1].device.type:
            raise DeviceWait(f"{func} from {tensors[-1].device} to {target} waits: non_blocking=True is missing")
        return
    masked = func in INDEXING and any(i is not None and i.dtype == torch.bool for i in args[1])
    if func in WAITING or masked:
        raise DeviceWait(f"{func} waits for the device{': an index by a mask' * masked}")
    devices = {tensor.device for tensor in tensors if tensor.ndim}
    if len(devices) > 1:
        raise DeviceMixup(f"{func} of tensors on {' and '.join(sorted(map(str, devices)))}")


@contextmanager
def fake_cuda() -> Iterator[FakeTensorMode]:
    """Tensors made inside are fake, on whatever device they are asked for. ``pretend_cuda`` comes first."""
    with FakeTensorMode(allow_non_fake_inputs=True) as mode, torch.autograd.set_multithreading_enabled(False):
        yield mode


def pretend_cuda() -> None:
    """Makes this process believe what FakeTensorMode alone does not say. Once, and for good."""
    torch.cuda.amp.common.amp_definitely_not_available = lambda: False
    torch.cuda.is_bf16_supported = lambda *_, **__: True  # type: ignore[assignment]
    torch.cuda.get_device_capability = lambda *_: (9, 0)  # type: ignore[assignment]  # dist.broadcast asks
    _no_accelerator()
    _follow_the_engine()


def _no_accelerator() -> None:
    """The autograd engine asks an accelerator for its streams: one of ours answers that there are none."""
    module: Any = ModuleType("torch.pretended")
    module.is_available, module.is_initialized = (lambda: False), (lambda: False)
    module.device_count, module.current_device = (lambda: 0), (lambda: 0)
    module._is_in_bad_fork, module.manual_seed_all = (lambda: False), (lambda seed: None)
    _setup_privateuseone_for_python_backend("pretended", module)


def _follow_the_engine() -> None:
    """While the autograd engine runs, its C++ side is told that tensors lie on the CPU, or it wants streams of CUDA.

    FakeTensors know their device themselves, so that a mix-up is still found. What the engine makes "on the CPU" to
    copy a gradient to is put where it belongs by FakeCuda.
    """
    engine = torch.autograd._engine_run_backward  # type: ignore[attr-defined]

    def run(*args: Any, **kwargs: Any) -> Any:
        mode = next(m for m in _get_current_dispatch_mode_stack() if isinstance(m, FakeCuda))
        mode.in_engine = True
        with mode.phase("backward"):
            try:
                return engine(*args, **kwargs)
            finally:
                mode.in_engine = False

    torch.autograd._engine_run_backward = run  # type: ignore[attr-defined]
