"""A made-up table with every kind of column, and its form and field."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from polymodal.contract.batch import Field
from polymodal.modalities.table.forms.cells import Cells

COLUMNS = [
    {"name": "age", "kind": "number"},
    {"name": "city", "kind": "category"},
    {"name": "tags", "kind": "set"},
    {"name": "income", "kind": "number"},
]


def rows(count: int, seed: int = 0) -> list[dict[str, Any]]:
    rng = np.random.default_rng(seed)

    def some(value: Any) -> Any:
        return None if rng.random() < 0.2 else value

    return [
        {
            "age": some(int(rng.integers(18, 90))),
            "city": some(str(rng.choice(["rome", "oslo", "lima"]))),
            "tags": some([str(t) for t in rng.choice(["x", "y", "z"], 2)]),
            "income": some(float(rng.lognormal(10, 2))),
        }
        for _ in range(count)
    ]


def to_field(form: Cells, cells: list[dict[str, Any] | None]) -> Field:
    zeros = np.zeros(form.slots[-1].stop, np.float32)
    arrays = [zeros if cell is None else form.encode(cell) for cell in cells]
    present = torch.tensor([cell is not None for cell in cells])
    return Field(torch.from_numpy(np.stack(arrays)), None, present)


@pytest.fixture
def form() -> Cells:
    found = Cells(columns=COLUMNS)
    found.fit(rows(64))
    return found


@pytest.fixture
def field(form: Cells) -> Field:
    return to_field(form, [*rows(64), None])
