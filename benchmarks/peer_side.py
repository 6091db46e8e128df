"""The peer's side of parity.py and step.py, run by the peer's Python (peer.py): real ``semilearn`` classes and hooks.

What is not the peer's own: see ``peer.stub``; and on a machine without CUDA, ``Tensor.cuda`` returns the tensor itself
and the hook that times steps with CUDA events is left out, because the peer's loop assumes a GPU.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import contender
import peer
import torch
from torch import Tensor

peer.stub()

import semilearn  # noqa: E402

CUDA = torch.cuda.is_available()
if not CUDA:
    torch.Tensor.cuda = torch.nn.Module.cuda = lambda self, *_, **__: self  # type: ignore[method-assign,assignment]

UNTIMED = 3  # steps of a turn, on a GPU: memory is taken again in the first

Batch = dict[str, Tensor]
held: dict[str, Any] = {}  # what is timed


def build(channels_last: bool, **options: Any) -> Any:
    """An algorithm of the peer for data that the caller hands in, as its documentation does for custom data sets.

    ``channels_last`` is a memory layout that the peer does not use by itself.
    """
    fixed = {"dataset": "custom", "epoch": 1, "num_eval_iter": 0, "num_log_iter": 0, "gpu": None}
    alone = {"rank": 0, "world_size": 1, "distributed": False}
    args = semilearn.get_config(fixed | alone | options)
    algorithm = semilearn.get_algorithm(args, semilearn.get_net_builder(args.net, False), None, None)
    for model in (algorithm.model, algorithm.ema_model):
        model.cuda()
        model.to(memory_format=layout(channels_last))
    if not CUDA:
        del algorithm.hooks_dict["TimerHook"]
    return algorithm


def layout(channels_last: bool) -> torch.memory_format:
    return torch.channels_last if channels_last else torch.contiguous_format


def step(algorithm: Any, labelled: Batch, unlabelled: Batch) -> None:
    """The body of the peer's training loop (AlgorithmBase.train)."""
    algorithm.call_hook("before_train_step")
    inputs = algorithm.process_batch(**labelled, **unlabelled)
    algorithm.out_dict, algorithm.log_dict = algorithm.train_step(**inputs)
    algorithm.call_hook("after_train_step")
    algorithm.it += 1


@contextmanager
def default_dtype(double: bool) -> Iterator[None]:
    """Networks and the hooks' own tensors in float64."""
    torch.set_default_dtype(torch.float64 if double else torch.float32)
    yield
    torch.set_default_dtype(torch.float32)


def load(model: torch.nn.Module, state: list[Tensor]) -> None:
    """Weights and buffers in the order of definition, which both sides share; a wrong shape raises."""
    model.load_state_dict(dict(zip(model.state_dict(), state, strict=True)))


def forward(net: str, state: list[Tensor], images: Tensor, training: bool, double: bool) -> tuple[Tensor, Tensor]:
    """(logits, features) of a network."""
    with default_dtype(double), torch.no_grad():
        model = semilearn.get_net_builder(net, False)(num_classes=len(state[-1]))
        load(model, state)
        out = model.train(training)(images)
    return out["logits"], out["feat"]


def train(
    state: list[Tensor],
    batches: list[tuple[Batch, Batch]],
    double: bool,
    channels_last: bool,
    options: dict[str, Any],
) -> dict[str, Any]:
    """Steps from ``state``: losses and gradients of each, and what is left at the end."""
    with default_dtype(double):
        algorithm = build(channels_last, **options)
        load(algorithm.model, state)
        algorithm.model.train()
        algorithm.call_hook("before_run")
        gradients: list[list[Tensor | None]] = []
        parameters = list(algorithm.model.parameters())
        copies = lambda *_: gradients.append([None if p.grad is None else p.grad.clone() for p in parameters])  # noqa: E731
        algorithm.optimizer.register_step_pre_hook(copies)
        losses, rates = [], []
        for labelled, unlabelled in batches:
            for views in (labelled, unlabelled):
                views |= {k: v.contiguous(memory_format=layout(channels_last)) for k, v in views.items() if v.ndim == 4}
            rates.append(algorithm.optimizer.param_groups[0]["lr"])
            step(algorithm, labelled, unlabelled)
            losses.append([algorithm.log_dict[f"train/{name}"] for name in LOSSES])
    return {
        "losses": losses,
        "gradients": gradients,
        "rates": rates,
        "decay": [_decay(algorithm, parameter) for parameter in parameters],
        "state": list(algorithm.model.state_dict().values()),
        "ema": list(algorithm.ema_model.state_dict().values()),
        "algorithm": KEPT[options["algorithm"]](algorithm.hooks_dict),
    }


LOSSES = ("total_loss", "sup_loss", "unsup_loss", "util_ratio")

KEPT: dict[str, Callable[[Any], dict[str, Tensor]]] = {
    "fixmatch": lambda hooks: {},
    "flexmatch": lambda hooks: {
        "selected_label": hooks["MaskingHook"].selected_label,
        "classwise_acc": hooks["MaskingHook"].classwise_acc,
    },
    "softmatch": lambda hooks: {
        "p_model": hooks["DistAlignHook"].p_model,
        "mu": hooks["MaskingHook"].prob_max_mu_t,
        "var": hooks["MaskingHook"].prob_max_var_t,
    },
}


def _decay(algorithm: Any, parameter: Tensor) -> float:
    groups = algorithm.optimizer.param_groups
    return next(g["weight_decay"] for g in groups if any(p is parameter for p in g["params"]))


def hold(labelled: int, ratio: int, size: int, channels_last: bool, tf32: bool, **options: Any) -> None:
    """A FixMatch run and one batch for ``seconds``. ``tf32``: convolutions on a GPU may use it, as torch's default."""
    torch.backends.cudnn.allow_tf32 = tf32
    algorithm = build(channels_last, algorithm="fixmatch", num_train_iter=2**20, **options)
    algorithm.model.train()
    algorithm.call_hook("before_run")
    images = lambda count: torch.randn(count, 3, size, size).contiguous(memory_format=layout(channels_last))  # noqa: E731
    index = torch.arange(labelled * ratio)
    y = torch.arange(labelled) % algorithm.num_classes
    held["algorithm"] = algorithm
    held["labelled"] = {"idx_lb": index[:labelled], "x_lb": images(labelled), "y_lb": y}
    held["unlabelled"] = {"idx_ulb": index, "x_ulb_w": images(len(index)), "x_ulb_s": images(len(index))}


def seconds(steps: int) -> list[float]:
    """Of each of so many further steps; on a GPU, of one in the mean over all, after some that do not count."""
    if not CUDA:
        return [_timed(1) for _ in range(steps)]
    _timed(UNTIMED)
    return [_timed(steps)]


def _timed(steps: int) -> float:
    start = time.perf_counter()
    for _ in range(steps):
        step(held["algorithm"], held["labelled"], held["unlabelled"])
    if CUDA:
        torch.cuda.synchronize()
    return (time.perf_counter() - start) / steps


def release() -> None:
    """Free memory of the GPU becomes another process's."""
    torch.cuda.empty_cache()


if __name__ == "__main__":
    contender.serve({"forward": forward, "train": train, "hold": hold, "seconds": seconds, "release": release})
