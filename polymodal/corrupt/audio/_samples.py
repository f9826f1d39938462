"""What corruptions of sounds share: they work on samples at the sound's own rate, mono."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

import numpy as np

from polymodal.contract import Corruption
from polymodal.data.media import Media, wav
from polymodal.forms.audio import _decode


class SampleCorruption(Corruption):
    """A corruption of a sound's samples; an array stays one, a file becomes a WAV of its rate."""

    kind: ClassVar[str] = "audio"

    def corrupt(self, cell: Media, level: float, rng: np.random.Generator) -> Media:
        if cell.values is not None:
            # An array does not know its rate: at one sample a second none of it is cut.
            samples = _decode.waveform(cell, 1, len(cell.values))
            return Media(cell.label, values=self.change(samples, level, rng))
        rate = _decode.header(cell).rate
        samples = _decode.waveform(cell, rate, _decode.LONGEST)
        return Media(cell.label, data=wav(self.change(samples, level, rng), rate))

    @abstractmethod
    def change(
        self, samples: np.ndarray[Any, Any], level: float, rng: np.random.Generator
    ) -> np.ndarray[Any, Any]:
        """float32 `(samples,)` -> the same, worse."""
