"""A body that gives features and a linear head, as every network here answers."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Parts = tuple[nn.Module, nn.Linear]  # body, head


class Headed(nn.Module):
    """Images [B, 3, H, W] -> (logits [B, C] in float32 or better, features [B, D]).

    ``dropout``: probability with which a feature is dropped before the head while training (Srivastava et al. 2014).
    """

    def __init__(self, body: nn.Module, head: nn.Linear, dropout: float = 0.0) -> None:
        super().__init__()
        self.body, self.head, self.dropout = body, head, dropout

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """As the class says."""
        return classify(self.head, self.body(x), self.dropout if self.training else 0.0)


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
