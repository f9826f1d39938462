"""Rows with cells of other rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import numpy as np

from polymodal.contract.corruption import Corruption
from polymodal.contract.form import Form


class ShuffledCells(Corruption):
    """Each cell is that of a random row of the table (maybe its own) with chance `level`.

    At level 1 a column tells nothing, but looks as always (Breiman 2001, "Random Forests", on
    permuted variables); missing cells are dealt out with the others.
    """

    kind: ClassVar[str] = "table"

    def __init__(self) -> None:
        self.columns: dict[str, list[Any]] = {}

    def fit(self, form: Form, cells: Iterable[Mapping[str, Any]]) -> None:
        rows = list(cells)
        # Sorted, so that the order of the rows changes nothing.
        self.columns = {name: sorted((r[name] for r in rows), key=repr) for name in rows[0]}

    def corrupt(
        self, cell: Mapping[str, Any], level: float, rng: np.random.Generator
    ) -> dict[str, Any]:
        shuffled = rng.random(len(cell)) < level
        others = rng.random(len(cell))
        worse = dict(cell)
        for name, moved, other in zip(cell, shuffled, others, strict=True):
            if moved:
                worse[name] = self.columns[name][int(other * len(self.columns[name]))]
        return worse
