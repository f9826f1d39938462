"""What corruptions of series share: they work on steps by channels, however these are stored."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from typing import Any, ClassVar

import numpy as np

from polymodal.contract import Corruption, Form
from polymodal.data.media import Media
from polymodal.forms.series._read import read


class StepCorruption(Corruption):
    """A corruption of a series' numbers; whether channels come first is learned from the form."""

    kind: ClassVar[str] = "series"

    def __init__(self) -> None:
        self.transposed = False

    def fit(self, form: Form, cells: Iterable[Any]) -> None:
        self.transposed = form.state.get("transposed", False)

    def corrupt(self, cell: Media, level: float, rng: np.random.Generator) -> Media:
        array, is_table = read(cell)
        steps = array.astype(float)
        worse = self.change(steps.T if self.transposed and not is_table else steps, level, rng)
        return Media(cell.label, values=worse.T if self.transposed else worse)

    @abstractmethod
    def change(
        self, steps: np.ndarray[Any, Any], level: float, rng: np.random.Generator
    ) -> np.ndarray[Any, Any]:
        """float64 `(steps, channels)` -> the same, worse."""
