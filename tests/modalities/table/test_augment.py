"""Cells go missing at the rate asked for, the same for the same seed."""

from __future__ import annotations

import torch

from polymodal.contract.batch import Field
from polymodal.modalities.table.augment import Augment as Table

FIELD = Field(torch.arange(8000.0).reshape(1000, 8), None, torch.ones(1000, dtype=torch.bool))


def augmented(drop: float, seed: int = 0) -> Field:
    return Table(drop=drop)(FIELD, torch.Generator().manual_seed(seed))


def test_the_rate_and_nothing_else() -> None:
    found = augmented(0.2)
    gone = found.data.isnan()
    assert abs(gone.float().mean().item() - 0.2) < 0.02
    assert torch.equal(found.data[~gone], FIELD.data[~gone])
    assert found.present is FIELD.present and not FIELD.data.isnan().any()


def test_the_seed_decides() -> None:
    first, again, other = augmented(0.2, 1), augmented(0.2, 1), augmented(0.2, 2)
    assert torch.equal(first.data.isnan(), again.data.isnan())
    assert not torch.equal(first.data.isnan(), other.data.isnan())


def test_without_a_chance_nothing_changes() -> None:
    assert torch.equal(augmented(0.0).data, FIELD.data)
