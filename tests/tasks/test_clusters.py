"""Hidden parts of a series, told by their cluster."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from polymodal.base.errors import UserError
from polymodal.contract.batch import Batch, Field
from polymodal.modalities.series.forms.steps import Steps
from polymodal.table.media import Media
from polymodal.tasks.clusters import Clusters, means

# Three sorts of stretches, each 4 steps long.
SORTS = np.array([[0.0, 0.0], [5.0, 0.0], [0.0, 5.0]])


def series(count: int = 24) -> list[Media]:
    rng = np.random.default_rng(0)
    # The sorts take turns, so that what is hidden follows from what is seen.
    rows = [np.repeat(SORTS[(np.arange(12) + i) % 3], 4, 0) for i in range(count)]
    return [
        Media("series", values=(row + 0.1 * rng.normal(size=row.shape)).astype(np.float32))
        for row in rows
    ]


def field() -> tuple[Steps, Field]:
    form, cells = Steps(), series()
    form.fit(cells)
    data = torch.from_numpy(np.stack([form.encode(cell) for cell in cells]))
    mask = torch.ones(data.shape[:2], dtype=torch.bool)
    return form, Field(data, mask, torch.ones(len(data), dtype=torch.bool))


def test_parts_are_told_by_their_mean_step() -> None:
    data = torch.arange(10).float().view(1, 5, 2)
    mask = torch.tensor([[True, True, True, False, False]])
    parts, there = means(Field(data, mask, torch.ones(1, dtype=torch.bool)), 2)
    assert there.tolist() == [[True, True, False]]
    assert parts[0, :2].tolist() == [[1, 2], [4, 5]]


def test_clusters_are_those_of_the_training_rows() -> None:
    form, given = field()
    task = Clusters("sorts", modality="walk", clusters=3)
    head = task.heads(16, [], 0.0, {"walk": form})
    head.adapt([given])
    centres = head.centres * head.deviation + head.mean
    found = sorted(tuple(round(abs(x)) for x in row) for row in centres.tolist())
    assert found == [(0, 0), (0, 5), (5, 0)]


def test_stretches_are_hidden_and_no_more() -> None:
    form, given = field()
    task = Clusters("sorts", modality="walk", clusters=3, span=3, share=0.5)
    batch = task.spoil(
        Batch({"walk": given}, {}, torch.arange(24)),
        {"walk": form},
        torch.Generator().manual_seed(0),
    )
    gone = batch.targets["sorts"].mask
    assert gone.shape == (24, 12) and 0.25 < gone.float().mean() < 0.6
    steps = gone.repeat_interleave(4, 1)
    after = batch.inputs["walk"].data
    assert torch.equal(after[~steps], given.data[~steps])
    row = int(gone.any(1).nonzero()[0])
    rest = given.data[row][~steps[row]].mean(0)
    torch.testing.assert_close(after[row][steps[row]], rest.expand(int(steps[row].sum()), 2))


def test_mistakes_are_told() -> None:
    with pytest.raises(UserError, match="nothing to tell"):
        Clusters("x", modality="walk", clusters=1)
    with pytest.raises(UserError, match="has no steps of 'walk' to hide"):
        Clusters("x", modality="walk").heads(8, [], 0.0, {})


def test_it_learns(one_pass) -> None:
    task = Clusters("sorts", modality="walk", clusters=3, span=2, share=0.3)
    _, last, constant = one_pass(
        task, "series", "patch", {}, series(), fusion="cross_attention", steps=100
    )
    assert last < 0.9 * constant
