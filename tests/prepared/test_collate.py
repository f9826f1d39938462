"""Batches of rows: each row once, and no batch beyond its size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from polymodal.base import lookup
from polymodal.prepared import collate
from polymodal.prepared.collate import Collator
from polymodal.prepared.prepare import Prepared, prepare
from polymodal.table.ledger import Ledger
from polymodal.table.read import read
from polymodal.table.schema import Column


@pytest.fixture
def texts(tmp_path: Path) -> Prepared:
    rng = np.random.default_rng(0)
    cells = [" ".join(f"w{i}" for i in range(n)) for n in rng.integers(1, 40, 50)]
    form = lookup.build("modalities/text/forms", {"name": "ngrams", "words": 1})
    column: Any = Column("note", "text", "")
    return prepare(read({"note": cells}), [column], form, cache=tmp_path, ledger=Ledger())


@pytest.mark.parametrize("size", [1, 7, 64])
def test_long_rows_come_in_smaller_batches(
    texts: Prepared, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collate, "POSITIONS", 100)
    rows = np.arange(50)
    found, lengths = [], []
    for positions, batch in Collator({"note": texts}, {}).sequential(rows, size):
        count, longest = batch.inputs["note"].data.shape[:2]
        assert 1 <= count <= size and (count == 1 or count * longest <= 100)
        np.testing.assert_array_equal(batch.rows.numpy(), rows[positions])
        found += positions.tolist()
        lengths.append(longest)
    assert sorted(found) == rows.tolist()
    assert lengths == sorted(lengths) and (size == 1 or len(lengths) < 50)


def test_nothing_is_in_no_batch(texts: Prepared) -> None:
    assert list(Collator({"note": texts}, {}).sequential(np.arange(0), 8)) == []
