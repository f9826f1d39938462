"""A sound as its samples."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from polymodal.base.errors import UserError
from polymodal.contract.form import Form
from polymodal.modalities.audio import decode as _decode
from polymodal.modalities.audio.forms.mel import Mel
from polymodal.table.media import Media


class Waveform(Form):
    """A sound to its samples, float32 `(samples, 1)`, mono.

    Args:
        rate: samples a second that every sound is resampled to.
        seconds: what is longer is cut to this; `was_truncated` tells.
    """

    kind = "audio"
    dtype = "float32"
    ragged = True

    def __init__(self, *, rate: int = 16_000, seconds: float = 10) -> None:
        for name, value, least in (("rate", rate, 1000), ("seconds", seconds, 0.01)):
            if value < least:
                raise UserError(
                    f"The audio option {name} is too small", expected=f"≥ {least}", got=str(value)
                )
        self.rate, self.seconds = rate, seconds

    def encode(self, cell: Media) -> np.ndarray[Any, Any]:
        """Sound -> samples; see `Form.encode`. UserErrors as `_decode.waveform` says."""
        return _decode.waveform(cell, self.rate, self.seconds)[:, None]

    def was_truncated(self, cell: Media) -> bool:
        """Whether `encode` leaves out the end of this sound; reads its header only."""
        return _decode.is_longer(cell, self.rate, self.seconds)

    @staticmethod
    def suggest(cells: Iterable[Media]) -> dict[str, Any]:
        """As `Mel.suggest`."""
        return Mel.suggest(cells)
