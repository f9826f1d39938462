"""Log-mel spectrogram of a sound."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from math import ceil
from typing import Any

import numpy as np

from polymodal.base.errors import UserError
from polymodal.contract.form import Form, Patches
from polymodal.modalities.audio import decode as _decode
from polymodal.modalities.audio import spectrum as _spectrum
from polymodal.table.media import Media

# Of a patch, where parts are hidden.
SIDE = 16


class Mel(Form):
    """A sound to its log-mel spectrogram, float32 `(frames, mels)`.

    Args:
        rate: samples a second that every sound is resampled to; at most the data's own is best
            (`suggest` finds it).
        mels: frequency bands.
        hop_ms: milliseconds from one frame to the next.
        seconds: what is longer is cut to this; `was_truncated` tells.
    """

    kind = "audio"
    dtype = "float32"
    ragged = True
    timed = True
    version = 2

    def __init__(
        self, *, rate: int = 16_000, mels: int = 64, hop_ms: float = 10, seconds: float = 30
    ) -> None:
        for name, value, least in (
            ("rate", rate, 1000),
            ("mels", mels, 1),
            ("hop_ms", hop_ms, 1),
            ("seconds", seconds, 0.01),
        ):
            if value < least:
                raise UserError(
                    f"The audio option {name} is too small", expected=f"≥ {least}", got=str(value)
                )
        self.rate, self.mels, self.hop_ms, self.seconds = rate, mels, hop_ms, seconds

    @property
    def patches(self) -> Patches:
        """Of 16 frames and 16 bands, as spectrogram Transformers cut (Gong et al. 2021, "AST")."""
        return Patches((SIDE, min(SIDE, self.mels)))

    @property
    def features(self) -> int:
        return self.mels

    def encode(self, cell: Media) -> np.ndarray[Any, Any]:
        """Sound -> log-mel; see `Form.encode`. UserErrors as `_decode.waveform` says."""
        samples = _decode.waveform(cell, self.rate, self.seconds)
        hop = round(self.rate * self.hop_ms / 1000)
        return _spectrum.log_mel(samples, self.rate, self.mels, hop)

    def was_truncated(self, cell: Media) -> bool:
        """Whether `encode` leaves out the end of this sound; reads its header only."""
        return _decode.is_longer(cell, self.rate, self.seconds)

    @staticmethod
    def suggest(cells: Iterable[Media]) -> dict[str, Any]:
        """Options that fit the data, from the headers of some cells.

        `rate` is the commonest rate of the files, at most 16 000: more than the data's own only
        adds empty bands. `seconds` is twice what 99 % of the sounds fit into, rounded up, at most
        30: room for those not looked at, while nothing of hours is decoded by accident.
        """
        headers = []
        for cell in cells:
            try:
                headers.append(_decode.header(cell))
            except UserError:
                continue  # an array, or unreadable: `encode` reports that with its row
        rates = Counter(h.rate for h in headers)
        lengths = [h.seconds for h in headers if h.seconds is not None]
        options: dict[str, Any] = {}
        if rates:
            options["rate"] = min(16_000, rates.most_common(1)[0][0])
        if lengths:
            options["seconds"] = min(30, ceil(2 * np.quantile(lengths, 0.99)))
        return options
