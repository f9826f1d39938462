"""XOR: every fusion of features can learn it, a fusion of decisions cannot."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from polymodal.base import lookup
from polymodal.contract.batch import Field, Tokens
from polymodal.models.model import Model
from polymodal.tasks.classify import Classify

ROWS = torch.tensor([[0, 0], [0, 1], [1, 0], [1, 1]])
LABELS = ROWS[:, 0] ^ ROWS[:, 1]


class Bit(torch.nn.Module):
    """One token for a bit."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.table = torch.nn.Embedding(2, width)

    def forward(self, field: Field) -> Tokens:
        return Tokens(self.table(field.data).unsqueeze(1), field.present.unsqueeze(1))


@pytest.mark.parametrize("name", lookup.names("fusion"))
def test_xor(name):
    torch.manual_seed(0)
    fusion = lookup.build("fusion", name, ["a", "b"], 16)
    task = Classify("y")
    task.fit(["no", "yes"])
    model = Model({"a": Bit(16), "b": Bit(16)}, fusion, {"y": task}, 16, 0.0, 0.0)
    present = torch.ones(4, dtype=torch.bool)
    inputs = {n: Field(ROWS[:, i], None, present) for i, n in enumerate("ab")}
    optimizer = torch.optim.Adam(model.parameters(), 0.02)
    for _ in range(80):
        loss = F.cross_entropy(model(inputs).logits["y"], LABELS)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    right = (model.eval()(inputs).logits["y"].argmax(1) == LABELS).sum().item()
    assert (right < 4) if fusion.decides else (right == 4)
