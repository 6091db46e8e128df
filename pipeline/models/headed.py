"""A body that gives features and a linear head, as every network here answers.

The body may be interrupted after its first stages, to change activations there (manifold mixup).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Change = Callable[[Tensor], Tensor]  # activations [B, ...] -> the same shape


class Parts(NamedTuple):
    """What a network is made of. ``stages``: the first ones, or their ends, of a body that is an nn.Sequential.

    For optimizers, by names such as ``body.norm.weight``: ``layers`` has the layer of each parameter, from 0 at the
    images on, or is empty; ``undecayed`` are those that never decay.
    """

    body: nn.Module
    head: nn.Linear
    stages: Sequence[nn.Module] = ()
    layers: Mapping[str, int] = {}
    undecayed: frozenset[str] = frozenset()


class Headed(nn.Module):
    """Images [B, 3, H, W] -> (logits [B, C] in float32 or better, features [B, D]).

    ``dropout``: probability with which a feature is dropped before the head while training (Srivastava et al. 2014).
    ``cuts``: how many modules of the body its first, second ... stage ends after.
    """

    def __init__(self, parts: Parts, dropout: float = 0.0) -> None:
        super().__init__()
        self.body, self.head, self.dropout = parts.body, parts.head, dropout
        self.layers, self.undecayed = parts.layers, parts.undecayed
        self.cuts = tuple(modules_of(self.body).index(modules_of(stage)[-1]) + 1 for stage in parts.stages)

    def forward(self, x: Tensor, stage: int = 0, change: Change | None = None) -> tuple[Tensor, Tensor]:
        """As the class says; after ``stage``, counted from 1, activations become ``change`` of them."""
        if change is None:
            features = self.body(x)
        else:
            features = changed_between(modules_of(self.body), self.cuts[stage - 1], x, change)
        return classify(self.head, features, self.dropout if self.training else 0.0)


def modules_of(body: nn.Module) -> list[nn.Module]:
    """What a Sequential, and any in it, runs one after the other; of another module itself."""
    if type(body) is not nn.Sequential:
        return [body]
    return [module for child in body for module in modules_of(child)]


def changed_between(modules: Sequence[nn.Module], cut: int, x: Tensor, change: Change) -> Tensor:
    """``x`` through the first ``cut`` modules, ``change`` and the other modules."""
    for module in modules[:cut]:
        x = module(x)
    x = change(x)
    for module in modules[cut:]:
        x = module(x)
    return x


def classify(head: nn.Linear, features: Tensor, dropout: float) -> tuple[Tensor, Tensor]:
    """(logits, features) outside autocast: float16 or bfloat16 logits would quantise margins and confidences."""
    with torch.autocast(features.device.type, enabled=False):
        features = features.to(head.weight.dtype)
        return head(F.dropout(features, dropout) if dropout else features), features


def replace_norms(model: nn.Module, make: Callable[[int], nn.Module]) -> nn.Module:
    """``model`` itself, each batch norm in it replaced by ``make`` of its channels."""
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.BatchNorm2d):
                setattr(parent, name, make(child.num_features))
    return model
