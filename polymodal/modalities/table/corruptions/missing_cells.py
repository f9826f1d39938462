"""Rows with gaps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from polymodal.contract.corruption import Corruption


class MissingCells(Corruption):
    """Each cell of a row is missing with chance `level`."""

    kind: ClassVar[str] = "table"

    def corrupt(
        self, cell: Mapping[str, Any], level: float, rng: np.random.Generator
    ) -> dict[str, Any]:
        gone = rng.random(len(cell)) < level
        return {
            name: None if lost else value
            for (name, value), lost in zip(cell.items(), gone, strict=True)
        }
