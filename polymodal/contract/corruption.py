"""Corruption: how one cell gets worse."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any, ClassVar

import numpy as np

from polymodal.base.errors import UserError
from polymodal.contract.form import Form


class Corruption(ABC):
    """How one cell gets worse, to measure how a model holds when its inputs do.

    Every draw is made from the generator handed in and none depends on the level, so that what a
    level spoils a higher one spoils too, and more.

    Attributes:
        kind: folder under `modalities/`.
        version: raised by hand whenever the answer changes, so stale caches miss.
    """

    kind: ClassVar[str]
    version: ClassVar[int] = 1

    def fit(self, form: Form, cells: Iterable[Any]) -> None:
        """Learn what a cell alone does not tell, from the fitted form that will take it and from
        the present cells of the table to corrupt."""

    def __call__(self, cell: Any, level: float, rng: np.random.Generator) -> Any:
        """A cell that forms take -> a worse one of the same kind; at level 0 the same object.

        Args:
            level: from 0 to 1, the strongest.

        Raises:
            UserError: the level is none, or the cell cannot be decoded.
        """
        if not 0 <= level <= 1:
            raise UserError(
                "A corruption has no such level", expected="a number from 0 to 1", got=f"{level:g}"
            )
        return self.corrupt(cell, level, rng) if level else cell

    @abstractmethod
    def corrupt(self, cell: Any, level: float, rng: np.random.Generator) -> Any:
        """`__call__` at a level above 0; the given cell is left as it is."""
