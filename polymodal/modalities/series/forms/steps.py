"""A time series as it is."""

from __future__ import annotations

from typing import Any

import numpy as np

from polymodal.base.errors import UserError
from polymodal.contract.form import Patches
from polymodal.modalities.series.forms._form import SeriesForm
from polymodal.table.media import Media

# Steps of a patch, where parts are hidden.
SIDE = 8


class Steps(SeriesForm):
    """A series to float32 `(steps, channels)`; one list of numbers is one channel.

    Args:
        limit: later steps are cut off; `was_truncated` tells.
        layout: as `SeriesForm` says.
    """

    ragged = True
    timed = True

    def __init__(self, *, limit: int = 4096, layout: str = "auto") -> None:
        super().__init__(layout)
        if limit < 1:
            raise UserError(
                "The option limit leaves a series no step", expected="limit ≥ 1", got=str(limit)
            )
        self.limit = limit

    @property
    def patches(self) -> Patches:
        """Each channel by itself, two in five hidden (Nie et al. 2023, "PatchTST")."""
        return Patches((SIDE,), self.channels, 0.4, apart=True)

    @property
    def features(self) -> int:
        return self.channels

    def encode(self, cell: Media) -> np.ndarray[Any, Any]:
        """Series -> `(steps, channels)`; see `Form.encode`. UserErrors as `load` says."""
        return self.load(cell)[: self.limit]

    def was_truncated(self, cell: Media) -> bool:
        """Whether `encode` leaves out the end of this series."""
        return len(self.load(cell)) > self.limit
