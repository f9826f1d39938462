"""What corruptions of series share: they work on steps by channels, however these are stored."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from typing import Any, ClassVar

import numpy as np

from polymodal.contract.corruption import Corruption
from polymodal.contract.form import Form
from polymodal.modalities.series.read import filled, read
from polymodal.table.media import Media


def load(cell: Media, transposed: bool) -> np.ndarray[Any, Any]:
    """A series as float64 `(steps, channels)`.

    Args:
        transposed: whether the form's arrays have channels first.
    """
    array, is_table = read(cell)
    steps = array.astype(float)
    return filled(cell, steps.T if transposed and not is_table else steps)


def save(cell: Media, steps: np.ndarray[Any, Any], transposed: bool) -> Media:
    """Other numbers in place of what `load` found in a cell."""
    return Media(cell.label, values=steps.T if transposed else steps)


class StepCorruption(Corruption):
    """A corruption of a series' numbers; whether channels come first is learned from the form."""

    kind: ClassVar[str] = "series"

    def __init__(self) -> None:
        self.transposed = False

    def fit(self, form: Form, cells: Iterable[Any]) -> None:
        self.transposed = form.state.get("transposed", False)

    def corrupt(self, cell: Media, level: float, rng: np.random.Generator) -> Media:
        worse = self.change(load(cell, self.transposed), level, rng)
        return save(cell, worse, self.transposed)

    @abstractmethod
    def change(
        self, steps: np.ndarray[Any, Any], level: float, rng: np.random.Generator
    ) -> np.ndarray[Any, Any]:
        """float64 `(steps, channels)` -> the same, worse."""
