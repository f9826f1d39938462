"""Corrupted rows: cells go missing or come from other rows at their rate."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest

from polymodal.modalities.table.corruptions.missing_cells import MissingCells
from polymodal.modalities.table.corruptions.shuffled_cells import ShuffledCells
from polymodal.modalities.table.forms.cells import Cells

ROWS = [{"n": float(i), "c": "rare" if i % 10 == 0 else "usual", "s": ["a"]} for i in range(3000)]
FORM = Cells(columns=[{"name": "n", "kind": "number"}])


def many(corruption: Any, level: float) -> list[dict[str, Any]]:
    return [corruption(row, level, np.random.default_rng(i)) for i, row in enumerate(ROWS)]


def test_cells_go_missing_at_their_rate_independently() -> None:
    found = many(MissingCells(), 0.3)
    gone = np.array([[value is None for value in row.values()] for row in found])
    np.testing.assert_allclose(gone.mean(0), 0.3, atol=0.03)
    np.testing.assert_allclose(np.corrcoef(gone.T), np.eye(3), atol=0.06)
    for row, worse in zip(ROWS, found, strict=True):
        assert list(worse) == list(row)
        assert all(worse[name] in (None, row[name]) for name in row)
    higher = np.array([[v is None for v in row.values()] for row in many(MissingCells(), 0.5)])
    assert not (gone & ~higher).any()
    assert all(value is None for row in many(MissingCells(), 1.0) for value in row.values())


def shuffled(level: float, rows: list[dict[str, Any]] = ROWS) -> list[dict[str, Any]]:
    corruption = ShuffledCells()
    corruption.fit(FORM, rows)
    return many(corruption, level)


def test_cells_are_shuffled_at_their_rate() -> None:
    found = shuffled(0.4)
    moved = np.array([worse["n"] != row["n"] for row, worse in zip(ROWS, found, strict=True)])
    assert moved.mean() == pytest.approx(0.4, abs=0.03)
    higher = shuffled(0.7)
    for i in np.flatnonzero(moved):
        assert higher[i]["n"] == found[i]["n"]


def test_a_shuffled_column_tells_nothing_but_looks_as_always() -> None:
    found = shuffled(1.0)
    numbers = [row["n"] for row in found]
    assert abs(np.corrcoef(numbers, np.arange(3000))[0, 1]) < 0.06
    assert np.mean(numbers) == pytest.approx(1499.5, rel=0.05)
    assert Counter(row["c"] for row in found)["rare"] / 3000 == pytest.approx(0.1, abs=0.02)
    agree = np.mean([a["c"] == b["c"] for a, b in zip(ROWS, found, strict=True)])
    assert agree == pytest.approx(0.1**2 + 0.9**2, abs=0.03)


def test_the_order_of_the_table_changes_nothing() -> None:
    assert shuffled(0.5) == shuffled(0.5, ROWS[::-1])
