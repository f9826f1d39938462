"""What corruptions of sounds share: they work on samples at the sound's own rate, mono."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

import numpy as np

from polymodal.contract.corruption import Corruption
from polymodal.modalities.audio import decode as _decode
from polymodal.table.media import Media, wav


def load(cell: Media) -> tuple[np.ndarray[Any, Any], int | None]:
    """A sound's float32 samples, mono, and how many there are a second; None if it is an array."""
    if cell.values is not None:
        # An array does not know its rate: at one sample a second none of it is cut.
        return _decode.waveform(cell, 1, len(cell.values)), None
    rate = _decode.header(cell).rate
    return _decode.waveform(cell, rate, _decode.LONGEST), rate


def save(cell: Media, samples: np.ndarray[Any, Any], rate: int | None) -> Media:
    """Other samples in place of what `load` found in a cell."""
    if rate is None:
        return Media(cell.label, values=samples)
    return Media(cell.label, data=wav(samples, rate))


class SampleCorruption(Corruption):
    """A corruption of a sound's samples; an array stays one, a file becomes a WAV of its rate."""

    kind: ClassVar[str] = "audio"

    def corrupt(self, cell: Media, level: float, rng: np.random.Generator) -> Media:
        samples, rate = load(cell)
        return save(cell, self.change(samples, level, rng), rate)

    @abstractmethod
    def change(
        self, samples: np.ndarray[Any, Any], level: float, rng: np.random.Generator
    ) -> np.ndarray[Any, Any]:
        """float32 `(samples,)` -> the same, worse."""
