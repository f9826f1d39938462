"""Halves of texts: own and others', balanced, and independent of the rows beside."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from polymodal.base.errors import UserError
from polymodal.contract.batch import Batch, Field
from polymodal.contract.task import Pass
from polymodal.modalities.text.forms.words import Words
from polymodal.tasks.next_sentence import CHARACTERS, KEPT, NextSentence


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def fitted(texts: list[str | None]) -> NextSentence:
    task = NextSentence("next", modality="note")
    task.fit(texts)
    return task


def field(rows: int, length: int) -> Field:
    ids = torch.randint(1, 10_000, (rows, length), generator=seeded(5))
    data = torch.stack([ids, torch.ones_like(ids)], -1).int()
    mask = torch.ones(rows, length, dtype=torch.bool)
    return Field(data, mask, torch.ones(rows, dtype=torch.bool))


def test_half_are_consecutive() -> None:
    task, form = fitted(["one two three four", "five six", "1 2 3 4 5 6"]), Words(subwords=0)
    given = field(20_000, 6)
    batch = task.spoil(Batch({"note": given}, {}, torch.arange(20_000)), {"note": form}, seeded())
    target = batch.targets["next"]
    assert target.data.float().mean().item() == pytest.approx(0.5, abs=0.01)
    spoiled = batch.inputs["note"]
    own = target.data == 1
    # The first half, a hidden place, then its own second half or that of a text that was kept.
    assert torch.equal(spoiled.data[:, :3], given.data[:, :3])
    assert (spoiled.data[:, 3, 0] == -1).all()
    assert torch.equal(spoiled.data[own, 4:7], given.data[own, 3:])
    # An end as long as its own, where the other text has more words than that.
    ends = [form.encode(text)[1:, 0].tolist()[-3:] for text in task.texts]
    found = spoiled.data[~own, 4:, 0] * spoiled.mask[~own, 4:]
    padded = {tuple(end + [0] * (3 - len(end))) for end in ends}
    assert {tuple(row) for row in found.tolist()} == padded
    assert spoiled.mask.sum(1)[own].unique().tolist() == [7]
    assert spoiled.mask.sum(1)[~own].unique().tolist() == [5, 7]


def test_texts_that_are_kept() -> None:
    texts: list[str | None] = [None if i % 5 == 0 else f"text {i} of many" for i in range(500)]
    task = fitted(texts)
    assert len(task.texts) == 400 and None not in task.texts
    assert 0 < len(fitted(["a b"] * (2 * KEPT + 1)).texts) <= KEPT
    long = fitted(["a long text " * 1000] * 500).texts
    assert 0 < sum(map(len, long)) <= CHARACTERS
    assert task.columns == ("note",) and not task.is_known(None)


def test_single_words_and_long_texts() -> None:
    task, form = fitted(["a b c d e f g h"]), Words(subwords=0, limit=6)
    given = field(40, 6)
    given.mask[0, 1:] = False
    batch = task.spoil(Batch({"note": given}, {}, torch.arange(40)), {"note": form}, seeded())
    assert batch.targets["next"].present.tolist() == [False, *[True] * 39]
    # No longer than the form gives them.
    assert batch.inputs["note"].data.shape[1] == 6


def test_figures() -> None:
    task, form = fitted(["one two three four"]), Words(subwords=0)
    batch = Batch({"note": field(400, 6)}, {}, torch.arange(400))
    batch = task.spoil(batch, {"note": form}, seeded())
    done = Pass(batch.inputs, None, torch.zeros(400, 2), {}, batch.targets["next"])
    rows, ones = task.answer(done), np.ones((1, 400))
    found = {name: m.statistic(ones)[0] for name, m in task.metrics(rows, []).items()}
    assert found["chance"] == 0.5 and found["log_loss"] == pytest.approx(math.log(2))
    assert set(task.decode(rows)["next"]) == {"other"}


def test_it_learns(one_pass) -> None:
    texts = [" ".join([word] * 8) for word in ("red", "green", "blue", "white") for _ in range(12)]
    task = fitted(texts)
    _, last, constant = one_pass(
        task,
        "text",
        "embedding",
        {"subwords": 0},
        texts,
        fusion="cross_attention",
        steps=60,
        extra={"forget": 0.0},
    )
    # A quarter of the other halves are of the same word.
    assert constant == pytest.approx(math.log(2)) and last < 0.95 * constant


def test_a_second_half_that_follows_from_the_first_is_known(one_pass) -> None:
    words = [first + last for first in ("ba", "de", "ki", "lo") for last in ("mer", "sul", "tan")]
    texts = [" ".join([word] * 8) for word in words for _ in range(8)]
    task, told = fitted(texts), {"subwords": 0}
    _, last, constant = one_pass(
        task, "text", "embedding", told, texts, steps=400, extra={"forget": 0.0}
    )
    # A wrong answer costs ln 2 at least: more than nine of ten are right.
    assert last < 0.1 * constant


def test_mistakes_are_told() -> None:
    with pytest.raises(UserError, match="has no words of 'note' to cut in two"):
        NextSentence("x", modality="note").heads(8, [], 0.0, {})
