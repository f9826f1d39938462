"""What the kinds whose cells are media share."""

from __future__ import annotations

from abc import ABC
from typing import ClassVar

import numpy as np
import pyarrow as pa

from polymodal.base import arrow
from polymodal.contract.kind import Guess, Kind, Seen

CELLS = "paths, URLs, bytes or lists of numbers"


class Medium(Kind, ABC):
    """A kind whose cells are files, bytes or arrays.

    Attributes:
        axes: how many an array of a cell has.
    """

    media: ClassVar[bool] = True
    axes: ClassVar[tuple[int, ...]] = ()

    def sniff(self, column: Seen) -> Guess | None:
        """Nested lists of numbers; files are told by their names and by what they begin with."""
        if column.levels not in self.axes or not arrow.is_number(column.inner):
            return None
        nested = "lists of numbers" if column.levels == 1 else f"{column.levels}-fold nested lists"
        return Guess(self.name, nested)

    def fits(self, column_kind: str, cells: pa.DataType) -> bool:
        return arrow.is_text(cells) or not arrow.is_plain(cells)

    def holds(self, array: np.ndarray) -> bool:
        return array.ndim in self.axes
