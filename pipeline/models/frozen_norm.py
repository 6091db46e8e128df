"""Batch norm that stays as it was loaded: for a pretrained network and batches too small to learn it from."""

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

STATE = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


class FrozenBatchNorm(nn.Module):
    """An affine map by channel, with the state of ``norm`` by the same names, which no step changes.

    Not a batch norm to any other code: it has no statistics to share between ranks or to hold still.
    """

    def __init__(self, norm: _BatchNorm) -> None:
        super().__init__()
        self.eps = norm.eps
        for name in STATE:
            value = getattr(norm, name)
            self.register_buffer(name, None if value is None else value.detach().clone())
        self.drop, self.act = after_norm(norm)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, ...] -> the same, in training too."""
        x = F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)  # type: ignore[arg-type]
        changed: Tensor = self.act(self.drop(x))
        return changed


def after_norm(norm: nn.Module) -> tuple[nn.Module, nn.Module]:
    """Dropping and activation that timm's BatchNormAct2d has inside; those of any other norm do nothing."""
    return getattr(norm, "drop", nn.Identity()), getattr(norm, "act", nn.Identity())


def freeze_norms(model: nn.Module) -> nn.Module:
    """``model`` itself, every batch norm in it frozen from now on; weights may be loaded into it afterwards."""
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, _BatchNorm):
                setattr(parent, name, FrozenBatchNorm(child))
    return model
