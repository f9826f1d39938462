"""All fixed features of a series: its descriptors, and shares under small convolutions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from polymodal.modalities.series.forms._form import SeriesForm
from polymodal.modalities.series.forms.rocket import Rocket
from polymodal.modalities.series.forms.summary import Summary
from polymodal.table.media import Media


class Features(SeriesForm):
    """A series to float32 `(size,)`: `series/summary`, then `series/rocket`.

    Each knows what the other does not: kernels whose weights add up to 0 see no level, and
    statistics of whole channels see no shape.

    Args:
        slices: of `series/summary`.
        count, dilations, limit: of `series/rocket`.
        layout: as `SeriesForm` says.
    """

    ragged = False

    def __init__(
        self,
        *,
        slices: int = 16,
        count: int = 840,
        dilations: int = 32,
        limit: int = 4096,
        layout: str = "auto",
    ) -> None:
        super().__init__(layout)
        self.slices, self.count, self.dilations, self.limit = slices, count, dilations, limit
        self._summary = Summary(slices=slices, layout=layout)
        self._rocket = Rocket(count=count, dilations=dilations, limit=limit, layout=layout)

    def fit(self, cells: Iterable[Media]) -> None:
        self._rocket.fit(cells)
        self._share()

    @property
    def state(self) -> dict[str, Any]:
        return self._rocket.state

    @state.setter
    def state(self, state: dict[str, Any]) -> None:
        self._rocket.state = state
        self._share()

    @property
    def sections(self) -> tuple[int, int]:
        """Numbers of `series/summary`, and of `series/rocket`; known after `fit`."""
        return self._summary.size, self._rocket.size

    @property
    def size(self) -> int:
        """Numbers in one vector; known after `fit`."""
        return sum(self.sections)

    def encode(self, cell: Media) -> np.ndarray[Any, Any]:
        """Series -> `(size,)`; see `Form.encode`. UserErrors as `load` says."""
        return np.concatenate([self._summary.encode(cell), self._rocket.encode(cell)])

    def was_truncated(self, cell: Media) -> bool:
        """Whether `encode` leaves out some of the end of this series."""
        return self._rocket.was_truncated(cell)

    def _share(self) -> None:
        """One layout for all."""
        for form in (self, self._summary):
            form._learned, form._why = self._rocket._learned, self._rocket._why
