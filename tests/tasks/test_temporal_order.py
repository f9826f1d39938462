"""Parts of a clip in another order, and which."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from polymodal.base.errors import UserError
from polymodal.contract.batch import Batch, Field
from polymodal.contract.task import Pass
from polymodal.modalities.video.forms.frames import Frames
from polymodal.table.media import Media
from polymodal.tasks.temporal_order import TemporalOrder, shuffled


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_parts_move_and_what_is_left_over_stays() -> None:
    orders = torch.tensor([[2, 0, 1], [1, 0, 2], [0, 1, 2]])
    found = shuffled(torch.tensor([7, 6, 3]), orders, 8)
    assert found[0].tolist() == [4, 5, 0, 1, 2, 3, 6, 7]
    assert found[1].tolist() == [2, 3, 0, 1, 4, 5, 6, 7]
    assert found[2].tolist() == list(range(8))


@pytest.mark.parametrize("parts", [2, 3, 4])
def test_every_permutation_is_as_likely_and_chance_is_one_of_them(parts: int) -> None:
    task = TemporalOrder("order", modality="clip", parts=parts)
    count = math.factorial(parts)
    assert len(set(task.ways)) == count and task.ways[0] == "1234"[:parts]
    data = torch.randint(0, 256, (24_000, 4, 1, 1, 1), generator=seeded(), dtype=torch.uint8)
    data[:, 0, 0, 0, 0] = torch.arange(24_000) % 251
    field = Field(data, None, torch.ones(len(data), dtype=torch.bool))
    batch = task.spoil(Batch({"clip": field}, {}, torch.arange(len(data))), {}, seeded())
    target = batch.targets["order"]
    shares = torch.bincount(target.data, minlength=count) / len(data)
    assert (shares - 1 / count).abs().max() < 0.01
    # What comes first is the part that the permutation names first.
    size = 4 // parts
    order = torch.tensor(list(itertools.permutations(range(parts))))[target.data]
    first = batch.inputs["clip"].data[torch.arange(len(data)), 0]
    assert torch.equal(first, data[torch.arange(len(data)), order[:, 0] * size])

    output = torch.zeros(len(data), count)
    rows = task.answer(Pass(batch.inputs, None, output, {}, target))[:600]
    ones = np.ones((1, 600))
    found = {name: m.statistic(ones)[0] for name, m in task.metrics(rows, []).items()}
    assert found["chance"] == pytest.approx(1 / count)
    assert found["log_loss"] == pytest.approx(math.log(count))
    assert task.criterion(task.constant(rows), []) == pytest.approx(math.log(count))


def test_rows_of_fewer_steps_are_left_out() -> None:
    task = TemporalOrder("order", modality="walk", parts=3)
    lengths = torch.tensor([7, 2, 0, 3])
    mask = torch.arange(7) < lengths.unsqueeze(1)
    field = Field(torch.randn(4, 7, 2, generator=seeded()), mask, lengths > 0)
    batch = task.spoil(Batch({"walk": field}, {}, torch.arange(4)), {}, seeded())
    assert batch.targets["order"].present.tolist() == [True, False, False, True]
    assert torch.equal(batch.inputs["walk"].data[1], field.data[1])
    rows = task.answer(Pass(batch.inputs, None, torch.zeros(4, 6), {}, batch.targets["order"]))
    assert task.decode(rows)["order"] == ["123", None, None, "123"]


def test_it_learns(one_pass) -> None:
    """Clips grow brighter."""
    grey = np.linspace(0, 250, 4).astype(np.uint8)
    clip = np.broadcast_to(grey[:, None, None, None], (4, 8, 8, 3))
    rng = np.random.default_rng(0)
    cells = [
        Media("video", values=(clip + rng.integers(0, 6, clip.shape)).astype(np.uint8))
        for _ in range(32)
    ]
    task = TemporalOrder("order", modality="clip", parts=2)
    _, last, constant = one_pass(
        task,
        "video",
        "patch",
        {"frames": 4, "size": 8},
        cells,
        fusion="cross_attention",
        extra={"patch": 8},
        steps=80,
    )
    assert constant == pytest.approx(math.log(2)) and last < 0.3


def test_mistakes_are_told() -> None:
    with pytest.raises(UserError, match="cannot be put in order"):
        TemporalOrder("x", modality="clip", parts=6)
    with pytest.raises(UserError, match="has no steps of 'clip' to put in order"):
        TemporalOrder("x", modality="clip").heads(8, [], 0.0, {})
    assert Frames.timed
