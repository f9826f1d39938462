"""Words hidden and told: shares, what counts, what the figures mean, that it learns."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from polymodal.base.errors import UserError
from polymodal.contract.batch import Batch, Field, Fused, Tokens
from polymodal.contract.form import Ids
from polymodal.contract.task import Pass
from polymodal.modalities.text.forms.words import Words
from polymodal.tasks.masked_text import MaskedText, hidden


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def field(rows: int, length: int, size: int = 1000) -> Field:
    """Ids from 1, the looks of a word and one part of it, which both say the id."""
    ids = torch.randint(1, size, (rows, length), generator=seeded(5))
    data = torch.stack([ids, ids % 7 + 1, ids % 11 + 1], -1).int()
    mask = torch.ones(rows, length, dtype=torch.bool)
    return Field(data, mask, torch.ones(rows, dtype=torch.bool))


@pytest.mark.parametrize("size", [None, 1000])
def test_fifteen_of_a_hundred_of_which_eighty_ten_ten(size: int | None) -> None:
    given = field(1000, 100)
    data, chosen = hidden(given, Ids(size, telling=(1, 2)), 0.15, seeded())
    gone = chosen & (data[..., 0] == -1)
    same = chosen & (data == given.data).all(-1)
    assert chosen.float().mean().item() == pytest.approx(0.15, abs=0.005)
    assert gone.sum().item() / chosen.sum().item() == pytest.approx(0.8, abs=0.005)
    assert same.sum().item() / chosen.sum().item() == pytest.approx(0.1, abs=0.005)
    # What is not chosen stays, and no other column tells what is hidden.
    assert torch.equal(data[~chosen], given.data[~chosen])
    assert (data[gone][:, 1:] == 0).all()
    other = chosen & ~gone & ~same
    if size is None:
        # Another word of the same row, whole.
        assert torch.equal(data[other][:, 1], (data[other][:, 0] % 7 + 1).int())
        row = int(other.any(1).nonzero()[0])
        assert set(data[row, other[row], 0].tolist()) <= set(given.data[row, :, 0].tolist())
    else:
        assert data[other][:, 0].min() >= 0 and data[other][:, 0].max() < size
        assert data[other][:, 0].unique().numel() > 600 and (data[other][:, 1:] == 0).all()


def test_marks_hidden_words_and_absent_rows_are_not_chosen() -> None:
    given = field(4, 200)
    given.data[0, :, 1] = 0
    given.data[1, :, 0] = -1
    given.present[2] = False
    data, chosen = hidden(given, Ids(None, telling=(1, 2)), 0.15, seeded())
    assert chosen.any(1).tolist() == [False, False, False, True]
    assert torch.equal(data[:3], given.data[:3])


def task_and_batch(rows: int = 30) -> tuple[MaskedText, Batch, Words]:
    task = MaskedText("hidden", modality="note", buckets=50, conditioned=False)
    form = Words(subwords=1)
    batch = Batch({"note": field(rows, 20)}, {}, torch.arange(rows))
    return task, task.spoil(batch, {"note": form}, seeded()), form


def fused(values: torch.Tensor) -> Fused:
    tokens = {"note": Tokens(values, torch.ones_like(values[..., 0], dtype=torch.bool))}
    return Fused(values.mean(1), tokens, own=tokens)


def test_the_loss_is_on_the_chosen_alone() -> None:
    task, batch, form = task_and_batch()
    head = task.heads(8, [], 0.0, {"note": form})
    values = torch.randn(30, 21, 8, generator=seeded(), requires_grad=True)
    target = batch.targets["hidden"]

    def loss(target: Field) -> torch.Tensor:
        return task.loss(Pass(batch.inputs, None, head(fused(values)).output, {}, target))

    found = loss(target)
    found.backward()
    # A mark of the encoder's own stands first.
    touched = (values.grad != 0).any(-1)
    assert torch.equal(touched[:, 1:], target.mask) and not touched[:, 0].any()
    other = torch.where(target.mask, target.data, 7)
    assert loss(Field(other, target.mask, target.present)).item() == found.item()
    states = head.layers(values[:, 1:])[target.mask]
    wanted = F.cross_entropy(head.last(states), target.data[target.mask])
    assert found.item() == pytest.approx(wanted.item(), rel=1e-5)


def test_computed_in_parts_it_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    task, batch, form = task_and_batch()
    head = task.heads(8, [], 0.0, {"note": form})
    values = torch.randn(30, 20, 8, generator=seeded())
    done = Pass(batch.inputs, None, head(fused(values)).output, {}, batch.targets["hidden"])

    def gradients() -> list[torch.Tensor]:
        loss = task.loss(done)
        grads = torch.autograd.grad(loss, list(head.parameters())[2:], retain_graph=True)
        return [loss.detach(), *grads]

    whole = gradients()
    monkeypatch.setattr("polymodal.tasks._wordwise.MOST", 400)
    for part, wanted in zip(gradients(), whole, strict=True):
        torch.testing.assert_close(part, wanted, rtol=1e-5, atol=1e-6)


def test_figures() -> None:
    task, batch, form = task_and_batch()
    head = task.heads(8, [], 0.0, {"note": form})
    with torch.no_grad():
        head.last.weight.zero_()
        output = head(fused(torch.randn(30, 20, 8))).output
    rows = task.answer(Pass(batch.inputs, None, output, {}, batch.targets["hidden"]))
    ones = np.ones((1, 30))
    found = {name: metric.statistic(ones)[0] for name, metric in task.metrics(rows, []).items()}
    # Uniform over V ids: a perplexity of V.
    assert found["perplexity"] == pytest.approx(50)
    assert task.criterion(rows, []) == pytest.approx(math.log(50))
    truths = np.concatenate([row[:, 1] for row in rows])
    _, counts = np.unique(truths, return_counts=True)
    assert found["majority"] == counts.max() / len(truths)
    assert found["over_majority"] == pytest.approx(found["accuracy"] - found["majority"])
    constant = task.constant(rows)
    own = {name: m.statistic(ones)[0] for name, m in task.metrics(constant, []).items()}
    assert own["over_majority"] == 0
    shares = counts / counts.sum()
    assert math.log(own["perplexity"]) == pytest.approx(-(shares * np.log(shares)).sum())
    nats = task.decode(rows)["hidden"]
    assert nats[0] == pytest.approx(math.log(50)) or nats[0] is None


def test_it_learns(one_pass) -> None:
    """Each text says one word throughout: its neighbours tell it."""
    texts = [" ".join([word] * 12) for word in ("red", "green", "blue", "white") for _ in range(8)]
    task = MaskedText("hidden", modality="note", buckets=97)
    first, last, constant = one_pass(task, "text", "transformer", {"subwords": 2}, texts)
    assert first > constant and last < 0.3 * constant


def test_mistakes_are_told() -> None:
    with pytest.raises(UserError, match="leave 'x' nothing to tell"):
        MaskedText("x", modality="note", share=0)
    with pytest.raises(UserError, match="has no words of 'note' to tell"):
        MaskedText("x", modality="note").heads(8, [], 0.0, {})
