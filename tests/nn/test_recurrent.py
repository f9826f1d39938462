"""Parity with PyTorch's own network on packed sequences; masked positions are passed over."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from polymodal.base.errors import UserError
from polymodal.nn.recurrent import Lstm

LENGTHS = [5, 1, 3]
MASK = torch.arange(5) < torch.tensor(LENGTHS).unsqueeze(1)


def like(ours: Lstm, width: int, hidden: int, depth: int, both: bool) -> nn.LSTM:
    """PyTorch's network with our weights."""
    theirs = nn.LSTM(width, hidden, depth, batch_first=True, bidirectional=both)
    weights = dict(theirs.named_parameters())
    with torch.no_grad():
        for i in range(depth):
            for layers, end in ((ours.ahead, ""), (ours.back, "_reverse")):
                for name, value in layers[i].named_parameters() if len(layers) else ():
                    weights[name.replace("_l0", f"_l{i}{end}")].copy_(value)
    return theirs


@pytest.mark.parametrize("both", [True, False])
@pytest.mark.parametrize("depth", [1, 2])
def test_parity_with_torch(depth: int, both: bool) -> None:
    torch.manual_seed(0)
    ours = Lstm(4, 6, depth, both)
    values = torch.randn(3, 5, 4)
    packed = nn.utils.rnn.pack_padded_sequence(
        values, torch.tensor(LENGTHS), batch_first=True, enforce_sorted=False
    )
    wanted, _ = nn.utils.rnn.pad_packed_sequence(
        like(ours, 4, 6, depth, both)(packed)[0], batch_first=True
    )
    found = ours(values, MASK)
    assert found.shape[-1] == ours.width == (12 if both else 6)
    torch.testing.assert_close(found[MASK], wanted[MASK], atol=1e-6, rtol=1e-5)


def test_masked_positions_are_passed_over() -> None:
    torch.manual_seed(0)
    ours, values = Lstm(4, 6, 2), torch.randn(1, 3, 4)
    holes = torch.tensor([[False, True, False, True, True, False]])
    spread = torch.full((1, 6, 4), 99.0)
    spread[holes] = values[0]
    wanted = ours(values, torch.ones(1, 3, dtype=torch.bool))
    torch.testing.assert_close(ours(spread, holes)[holes], wanted[0])


def test_one_way_knows_nothing_of_what_comes() -> None:
    torch.manual_seed(0)
    values = torch.randn(1, 4, 4)
    other = values.clone()
    other[:, 3] = 0
    mask = torch.ones(1, 4, dtype=torch.bool)
    for both in (False, True):
        network = Lstm(4, 6, 2, both)
        same = torch.equal(network(values, mask)[:, :3], network(other, mask)[:, :3])
        assert same == (not both)


def test_impossible_sizes_are_refused() -> None:
    with pytest.raises(UserError, match="hidden=0"):
        Lstm(4, 0)
