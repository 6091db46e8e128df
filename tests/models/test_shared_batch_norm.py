"""Batch norm over ranks beside torch's on one: the same images, statistics and gradients, by one collective a pass."""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.parallel import DistributedDataParallel
from torch.utils._python_dispatch import TorchDispatchMode

from pipeline import models
from pipeline.config.sections import ModelConfig
from pipeline.distributed import Ranks, all_reduce_sum, own_group
from pipeline.models import batch_norm_kernels
from pipeline.models.shared_batch_norm import SharedBatchNorm, share_statistics
from pipeline.training.data_parallel import NO_BUFFER_SYNC
from pipeline.training.step import frozen_statistics
from tests.support.ranks import alone, on_ranks

KINDS = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d}  # by dimensions of x
RESULTS = ("y", "grad_x", "grad_weight", "grad_bias", "running_mean", "running_var", "num_batches_tracked")
State = dict[str, Tensor]


def problem(seed: int, shape: tuple[int, ...], layout: str, dtype: torch.dtype) -> tuple[nn.Module, Tensor, Tensor]:
    """(batch norm, x, gradient of y): means far from 0, channels of unequal scale."""
    random = torch.Generator().manual_seed(seed)
    norm = KINDS[len(shape)](shape[1], momentum=0.3, dtype=torch.promote_types(dtype, torch.float32))
    scale = [1, shape[1], *[1] * (len(shape) - 2)]
    with torch.no_grad():
        for tensor in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
            assert tensor is not None
            tensor.uniform_(0.5, 2, generator=random)
    x = torch.randn(shape, dtype=torch.float64, generator=random)
    x = x * torch.rand(scale, dtype=torch.float64, generator=random).add(0.1) + 3
    x, grad = (t.to(dtype) for t in (x, torch.randn(shape, dtype=torch.float64, generator=random)))
    if layout == "last" and len(shape) == 4:
        x, grad = (t.contiguous(memory_format=torch.channels_last) for t in (x, grad))
    return norm, x, grad


def passed(norm: nn.Module, x: Tensor, grad: Tensor) -> State:
    """One forward and backward pass, by RESULTS."""
    x = x.clone().requires_grad_()
    y = norm(x)
    y.backward(grad)
    parameters = {f"grad_{name}": p.grad for name, p in norm.named_parameters()}
    return {"y": y.detach(), "grad_x": x.grad, **parameters, **dict(norm.named_buffers())}


def largest(got: State, wanted: State) -> float:
    """Largest difference of any result, relative to that result's largest entry."""
    return max(
        float((got[name].double() - wanted[name].double()).abs().max() / wanted[name].double().abs().max().clamp(min=1))
        for name in RESULTS
    )


@pytest.fixture(scope="module")
def group() -> Iterator[str]:
    """A group of this process alone."""
    from pipeline import distributed

    distributed.start()
    yield own_group()
    distributed.stop()


@given(st.integers(0, 99), st.integers(2, 5), st.integers(1, 20), st.lists(st.integers(1, 5), max_size=3), st.data())
@settings(max_examples=60)
def test_any_shape_as_torch(
    group: str, seed: int, images: int, channels: int, space: list[int], data: st.DataObject
) -> None:
    layout = data.draw(st.sampled_from(["first", "last"]))
    norm, x, grad = problem(seed, (images, channels, *space), layout, torch.float64)
    wanted = passed(copy.deepcopy(norm), x, grad)
    got = passed(SharedBatchNorm(norm, group, 1), x, grad)
    assert largest(got, wanted) < 1e-12
    assert all(got[name].shape == wanted[name].shape for name in RESULTS)


def parts(ranks: Ranks, shares: list[int], *whole: Tensor) -> list[Tensor]:
    """This rank's images of each tensor; ``shares``: images of each rank."""
    return [t.split(shares)[ranks.rank] for t in whole]


def over_ranks(ranks: Ranks, cases: list[tuple[Any, ...]]) -> list[State]:
    """RESULTS of each case; gradients of weight and bias summed over ranks."""
    group = own_group()
    results = []
    for shares, *what in cases:
        norm, x, grad = problem(*what)
        x, grad = parts(ranks, shares, x, grad)
        mine = passed(SharedBatchNorm(norm, group, ranks.world), x, grad)
        results.append(
            {name: all_reduce_sum(t) if name in ("grad_weight", "grad_bias") else t for name, t in mine.items()}
        )
    return results


def cases(world: int) -> list[tuple[Any, ...]]:
    """(images of each rank, seed, shape, layout, dtype): every layout and dtype, equal and unequal shares."""
    random = np.random.RandomState(world)
    found: list[tuple[Any, ...]] = []
    for seed in range(24):
        dtype = (torch.float64, torch.float32, torch.bfloat16, torch.float16)[seed % 4]
        shares = random.randint(1, 5, world).tolist() if seed % 3 == 0 else [2] * world
        space = random.randint(1, 9, random.randint(0, 4)).tolist()
        found.append((shares, seed, (sum(shares), random.randint(1, 40), *space), ("first", "last")[seed % 2], dtype))
    return found


def error(got: State, exact: State, name: str) -> float:
    return float((got[name].double() - exact[name]).square().mean().sqrt())


@pytest.mark.xdist_group("ranks")
@pytest.mark.parametrize("world", [2, 4])
def test_many_ranks_are_as_one(world: int) -> None:
    everyone = on_ranks(world, over_ranks, cases(world))
    for number, (_, *what) in enumerate(cases(world)):
        *_, dtype = what
        alike = [rank[number] for rank in everyone]
        got = dict(alike[0])
        for name in ("y", "grad_x"):
            got[name] = torch.cat([rank[name] for rank in alike])
        for rank in alike[1:]:  # the same to the last bit, so that all ranks evaluate and save the same
            assert all(torch.equal(rank[name], got[name]) for name in RESULTS[2:])
        norm, x, grad = problem(*what)
        wanted = passed(copy.deepcopy(norm), x, grad)
        assert all(got[name].dtype == wanted[name].dtype for name in RESULTS)
        if dtype in (torch.float64, torch.float32):
            assert largest(got, wanted) < (1e-12 if dtype == torch.float64 else 2e-5), what
        else:  # on a CPU a gradient is rounded twice, and its channel's factor; torch's own once
            exact = passed(norm.double(), x.double(), grad.double())
            for name in RESULTS[:-1]:
                assert error(got, exact, name) < 2.5 * error(wanted, exact, name) + 1e-5, (name, what)


def numeric_gradient(ranks: Ranks) -> float:
    """Largest difference between backward and differences of the global loss, for every number of every rank."""
    norm, x, grad = problem(5, (2 * ranks.world, 3, 2, 1), "first", torch.float64)
    shared = SharedBatchNorm(norm, own_group(), ranks.world)
    x, grad = parts(ranks, [2] * ranks.world, x, grad)

    def loss(changed: Tensor) -> Tensor:
        return all_reduce_sum((shared(changed).detach() * grad).sum())

    analytic, tiny, differences = passed(shared, x, grad)["grad_x"].flatten(), 1e-5, []
    for rank in range(ranks.world):
        for i in range(x.numel()):
            step = torch.zeros(x.numel(), dtype=x.dtype)
            step[i] = tiny if ranks.rank == rank else 0
            slope = (loss(x + step.view_as(x)) - loss(x - step.view_as(x))) / (2 * tiny)
            differences += [slope - analytic[i]] if ranks.rank == rank else []
    return float(torch.stack(differences).abs().max())


def modes(ranks: Ranks) -> dict[str, Any]:
    """What a network over ranks does in the modes of a step, and which collectives it calls."""
    torch.manual_seed(0)
    plain = models.build(ModelConfig(name="wrn-10-1", norm_momentum=0.1), 10, 0).double()
    shared = share_statistics(copy.deepcopy(plain), ranks.world)
    layers = [m for m in shared.modules() if isinstance(m, SharedBatchNorm)]
    used = [m for m in layers if m.weight.requires_grad]
    images = torch.randn(4 * ranks.world, 3, 8, 8, dtype=torch.float64)
    mine = images.chunk(ranks.world)[ranks.rank]
    seen: dict[str, Any] = {"layers": len(used)}

    seen["names"] = list(shared.state_dict()) == list(plain.state_dict())
    with torch.no_grad(), collectives(seen, "no_grad"):
        logits, _ = shared(mine)
    seen["same under no_grad"] = close(logits, plain(images)[0].chunk(ranks.world)[ranks.rank])
    seen["buffers"] = all(close(a, b) for a, b in zip(shared.buffers(), plain.buffers(), strict=True))
    with collectives(seen, "both"):
        shared(mine)[0].square().sum().backward()

    before = [b.clone() for b in shared.buffers() if b.is_floating_point()]
    with frozen_statistics(shared, freeze=True):
        shared(mine)
    after = [b for b in shared.buffers() if b.is_floating_point()]
    seen["frozen"] = all(torch.equal(a, b) for a, b in zip(before, after, strict=True))

    twin = copy.deepcopy(shared).eval()  # as the moving average
    restored = models.build(ModelConfig(name="wrn-10-1"), 10, 1).double().eval()
    restored.load_state_dict(twin.state_dict())
    if ranks.rank == 0:  # alone: an evaluation needs no other rank
        with collectives(seen, "evaluation"):
            seen["evaluation is torch's"] = torch.equal(twin(images)[0], restored(images)[0])
    return seen


def close(one: Tensor, other: Tensor) -> bool:
    return torch.allclose(one.detach().double(), other.detach().double(), rtol=1e-10, atol=1e-12)


@contextmanager
def collectives(seen: dict[str, Any], name: str) -> Iterator[None]:
    """Counts of c10d's calls within, from torch's profiler, as ``seen[name]``."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        yield
    seen[name] = {e.key: e.count for e in profile.key_averages() if e.key.startswith("c10d::")}


@pytest.mark.xdist_group("ranks")
def test_numeric_gradient() -> None:
    assert max(on_ranks(2, numeric_gradient)) < 1e-8


@pytest.mark.xdist_group("ranks")
def test_modes_of_a_step_and_one_collective_a_layer_and_pass() -> None:
    for rank in on_ranks(2, modes):
        layers = rank.pop("layers")
        assert layers == 5  # two of seven are never used
        assert sum(rank.pop("no_grad").values()) == layers
        assert sum(rank.pop("both").values()) == 2 * layers
        assert sum(rank.pop("evaluation", {}).values()) == 0
        assert all(rank.values()), rank


def compiled(ranks: Ranks) -> dict[str, Any]:
    """Differences of logits, gradients and statistics between eager and compiled, and the breaks that there were."""
    torch._dynamo.reset()
    seen: dict[str, Any] = {}
    for name, wrap in (
        ("bare", lambda network: network),
        ("ddp", lambda n: DistributedDataParallel(n, **NO_BUFFER_SYNC)),
    ):
        torch.manual_seed(ranks.rank)
        eager = share_statistics(models.build(ModelConfig(name="wrn-10-1"), 10, 0).double(), ranks.world)
        twin = copy.deepcopy(eager)
        graph = torch.compile(wrap(twin), fullgraph=name == "bare", backend="aot_eager", dynamic=False)
        torch._dynamo.utils.counters.clear()
        images, results = torch.randn(2, 3, 8, 8, dtype=torch.float64), []
        for network in (wrap(eager), graph):
            logits, _ = network(images)
            logits.square().sum().backward()
            results.append(logits.detach())
        pairs = [results, *zip(eager.buffers(), twin.buffers(), strict=True)]
        pairs += [
            [p.grad, q.grad] for p, q in zip(eager.parameters(), twin.parameters(), strict=True) if p.requires_grad
        ]
        seen[name] = [float((a - b).abs().max()) for a, b in pairs]
        seen[f"{name} breaks"] = list(torch._dynamo.utils.counters["graph_break"])
    return seen


@pytest.mark.xdist_group("ranks")
def test_compiled_without_a_break() -> None:
    """DDP's own forward breaks, at its logger and before it calls the network; the network is one graph."""
    for seen in on_ranks(2, compiled):
        assert all(len(seen[name]) > 30 and max(seen[name]) < 1e-10 for name in ("bare", "ddp"))
        assert seen["bare breaks"] == []
        assert all("`Logger`" in why or "`DistributedDataParallel." in why for why in seen["ddp breaks"]), seen


def test_what_cannot_be_shared_is_refused(group: str) -> None:
    for odd in ({"momentum": None}, {"track_running_stats": False}, {"affine": False}):
        with pytest.raises(ValueError, match="on several ranks batch norm needs"):
            SharedBatchNorm(nn.BatchNorm2d(4, **odd), group, 2)  # type: ignore[arg-type]


def test_one_rank_keeps_torchs_layers() -> None:
    network = models.build(ModelConfig(name="wrn-10-1"), 10, 0)
    assert share_statistics(network, 1) is network
    assert not any(isinstance(m, SharedBatchNorm) for m in network.modules())


# On CUDA: torch's kernels have no fake versions, so these stand in for them, with the shapes of their results.
FAKES: dict[str, Callable[..., Any]] = {
    "batch_norm_stats": lambda x, eps: (_channels(x), _channels(x)),
    "batch_norm_gather_stats_with_counts": lambda x, mean, *_: (_channels(x), _channels(x)),
    "batch_norm_elemt": lambda x, *_: torch.empty_like(x),
    "batch_norm_backward_reduce": lambda grad, x, mean, *_: tuple(torch.empty_like(mean) for _ in range(4)),
    "batch_norm_backward_elemt": lambda grad, x, *_: torch.empty_like(x),
}
LAUNCHES = {"cat", "new_full", "_to_copy", "all_gather_into_tensor", "all_reduce_", "wait_tensor", *FAKES}
VIEWS = {"view", "split", "split_with_sizes", "slice", "empty", "empty_like", "detach", "device"}


def _channels(x: Tensor) -> Tensor:
    return x.new_empty(x.shape[1], dtype=torch.float64 if x.dtype == torch.float64 else torch.float32)


class Recorded(TorchDispatchMode):
    """Names of the operations, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.append(func._opname)
        return func(*args, **kwargs or {})


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
def test_on_fake_cuda_nothing_waits(dtype: torch.dtype) -> None:
    """Devices, shapes and dtypes of the CUDA path, and that all its operations have shapes the host knows."""
    library = torch.library.Library("aten", "IMPL", "Meta")
    for name, fake in FAKES.items():
        library.impl(name, fake)
    kernels = batch_norm_kernels
    with FakeTensorMode(), Recorded() as recorded:
        wide = torch.promote_types(dtype, torch.float32)
        x = torch.empty(6, 16, 4, 4, dtype=dtype, device="cuda").contiguous(memory_format=torch.channels_last)
        ones = [torch.empty(16, dtype=wide, device="cuda") for _ in range(4)]
        recorded.names.clear()
        statistics = kernels.cuda_statistics(x, ones[0], ones[1], 0.1, 1e-5, "0", 8)
        y = kernels.cuda_normalise(x, ones[2], ones[3], *statistics[:2])
        gradients = kernels.cuda_backward(y, x, ones[2], *statistics, "0")
        names = list(recorded.names)
        fakes = (
            *kernels.fake_statistics(x, ones[0], ones[1], 0.1, 1e-5, "0", 8),
            kernels.fake_normalise(x, ones[2], ones[3], *statistics[:2]),
            *kernels.fake_backward(y, x, ones[2], *statistics, "0"),
        )
        for real, fake_ in zip((*statistics, y, *gradients), fakes, strict=True):
            assert real.device == fake_.device == x.device
            assert (real.shape, real.dtype, real.stride()) == (fake_.shape, fake_.dtype, fake_.stride())
    print(names)
    assert set(names) <= LAUNCHES | VIEWS, set(names) - LAUNCHES - VIEWS
    assert (names.count("all_gather_into_tensor"), names.count("all_reduce_")) == (1, 1)
    assert sum(name in LAUNCHES for name in names) <= 13
    library._destroy()


def test_a_layer_on_fake_cuda() -> None:
    """By its operators, with autocast: what a fake step on several ranks passes through."""
    with FakeTensorMode(), torch.no_grad():
        layer = SharedBatchNorm(nn.BatchNorm2d(16, device="cuda"), "0", 8)
        x = torch.empty(2, 16, 4, 4, device="cuda", dtype=torch.bfloat16)
        y = layer(x)
        assert (y.device, y.dtype, y.shape) == (x.device, x.dtype, x.shape)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_beside_torchs_on_cuda() -> None:
    """A group of one rank, to which torch's layer would not turn: its function is called."""

    def compare(ranks: Ranks) -> None:
        from torch.nn.modules._functions import SyncBatchNorm

        group = own_group()
        for dtype, bound in ((torch.float64, 1e-12), (torch.float32, 1e-5), (torch.bfloat16, 1e-2)):
            for layout in ("first", "last"):
                norm, x, grad = problem(1, (6, 24, 5, 5), layout, dtype)
                norm, x, grad = norm.to(ranks.device), x.to(ranks.device), grad.to(ranks.device)
                theirs: Any = copy.deepcopy(norm)
                buffers = theirs.running_mean, theirs.running_var
                theirs.forward = lambda t, n=theirs, b=buffers: SyncBatchNorm.apply(
                    t, n.weight, n.bias, *b, n.eps, n.momentum, torch.distributed.group.WORLD, 1
                )
                theirs.num_batches_tracked.add_(1)
                assert largest(passed(SharedBatchNorm(norm, group, 1), x, grad), passed(theirs, x, grad)) < bound

    alone(compare)
