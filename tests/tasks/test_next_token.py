"""Words told from those before them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from polymodal.contract.batch import Field, Fused, Tokens
from polymodal.contract.task import Pass
from polymodal.modalities.text.forms.words import Words
from polymodal.tasks.next_token import NextToken


def field() -> Field:
    ids = torch.tensor([[5, 7, 9, 11], [6, -1, 8, 0], [3, 0, 0, 0], [2, 4, 0, 0]])
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0], [1, 0, 0, 0], [1, 1, 0, 0]]).bool()
    data = torch.stack([ids, torch.ones_like(ids)], -1).int()
    return Field(data, mask, torch.tensor([True, True, True, False]))


def done(task: NextToken, head: nn.Module, values: Tensor, given: Field) -> Pass:
    mask = torch.ones_like(values[..., 0], dtype=torch.bool)
    tokens = {"note": Tokens(values, mask)}
    return Pass({"note": given}, None, head(Fused(values.mean(1), tokens, own=tokens)).output)


def test_targets_are_shifted_by_one() -> None:
    task, given = NextToken("next", modality="note", buckets=100), field()
    head = task.heads(8, [], 0.0, {"note": Words(subwords=0)})
    chosen, truth = task.sought(done(task, head, torch.randn(4, 4, 8), given))
    # Not before a hidden word, at the end, behind it, nor in an absent row.
    assert chosen.long().tolist() == [[1, 1, 1, 0], [0, 1, 0, 0], [0] * 4, [0] * 4]
    assert truth[chosen].tolist() == [7, 9, 11, 8]


def test_uniform_over_v_is_a_perplexity_of_v() -> None:
    task = NextToken("next", modality="note", buckets=100)
    head = task.heads(8, [], 0.0, {"note": Words(subwords=0)})
    with torch.no_grad():
        head.last.weight.zero_()
        one = done(task, head, torch.randn(4, 5, 8), field())
    assert task.loss(one).item() == pytest.approx(math.log(100))
    rows = task.answer(one)
    assert [row[:, 0].tolist() for row in rows] == [[0, 1, 2], [1], [], []]
    perplexity = task.metrics(rows, [])["perplexity"]
    assert perplexity.statistic(np.ones((1, 4)))[0] == pytest.approx(100)
    assert perplexity.statistic(np.array([[1.0, 0, 0, 0]]))[0] == pytest.approx(100)


def test_the_encoder_must_look_back_only() -> None:
    assert NextToken("next", modality="note").asks == {"note": ("steps", "causal")}
    assert not NextToken("next", modality="note").spoils


def test_it_learns() -> None:
    """An alphabet: each letter tells the next, and a linear map of it is all that is needed."""
    torch.manual_seed(0)
    task = NextToken("next", modality="note", buckets=26)
    head = task.heads(16, [], 0.0, {"note": Words(subwords=0)})
    ids = (torch.arange(10) + torch.arange(16).unsqueeze(1)) % 25 + 1
    given = Field(
        torch.stack([ids, torch.ones_like(ids)], -1).int(),
        torch.ones(16, 10, dtype=torch.bool),
        torch.ones(16, dtype=torch.bool),
    )
    table = nn.Embedding(26, 16)
    optimizer = torch.optim.AdamW([*table.parameters(), *head.parameters()], 1e-2)
    for _ in range(60):
        loss = task.loss(done(task, head, table(ids), given))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        rows = task.answer(done(task, head, table(ids), given))
    assert task.criterion(rows, []) < 0.3 * task.criterion(task.constant(rows), [])
