"""The network on two ranks, with a frozen parameter that its output does not depend on, as models.build leaves it."""

import pytest
import torch
from torch import Tensor, nn

from pipeline.distributed import Ranks
from pipeline.training.data_parallel import settled
from tests.support.ranks import alone, on_ranks


class PartlyUsed(nn.Module):
    """A linear layer with batch norm, and a token that nothing reads."""

    def __init__(self) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.ones(3), requires_grad=False)
        self.linear, self.norm = nn.Linear(4, 2), nn.BatchNorm1d(2)

    def forward(self, images: Tensor) -> Tensor:
        out: Tensor = self.norm(self.linear(images))
        return out


def two_steps(ranks: Ranks) -> dict[str, Tensor]:
    """Of the same images on every rank, so that the number of ranks changes nothing."""
    torch.manual_seed(0)
    model = PartlyUsed()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    ddp = settled(model, lambda network: network(torch.ones(2, 4)), ranks)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items()), "left a trace"
    optimizer = torch.optim.SGD(model.parameters(), 0.1, weight_decay=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        ddp(torch.arange(12.0).reshape(3, 4)).square().sum().backward()
        optimizer.step()
    return {name: tensor.detach() for name, tensor in model.state_dict().items()}


@pytest.mark.xdist_group("ranks")
def test_a_parameter_without_a_gradient_holds_nobody_up() -> None:
    one = alone(two_steps)
    for rank in on_ranks(2, two_steps):
        for name, expected in one.items():
            torch.testing.assert_close(rank[name], expected)
    assert one["token"].tolist() == [1, 1, 1]
