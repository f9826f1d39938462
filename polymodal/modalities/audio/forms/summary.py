"""Fixed descriptors of a sound, for linear models, boosted trees and small networks."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from polymodal.base.errors import UserError
from polymodal.contract.form import Form
from polymodal.modalities.audio import decode as _decode
from polymodal.modalities.audio import spectrum as _spectrum
from polymodal.modalities.audio.forms.mel import Mel
from polymodal.modalities.series.slices import slices
from polymodal.table.media import Media

HOP = 0.010  # seconds
QUIET = 25.0  # dB below the loudest frame; quieter frames at both ends are trimmed away
CEPSTRA = 20


class Summary(Form):
    """A sound to one vector of fixed length, float32 `(size,)`.

    Most of it describes the sound without the silence at its ends: its cepstra in `slices` equal
    parts (what happens when), and mean, deviation and percentiles of cepstra, their change, the
    log-mel bands, loudness and spectral centroid (what it is like over all). The cepstra of the
    whole recording, both durations and the zero-crossing rate follow.

    Args:
        rate: samples a second that every sound is resampled to.
        mels: frequency bands; at least CEPSTRA.
        seconds: what is longer is cut to this; `was_truncated` tells.
        slices: parts in time.
    """

    kind = "audio"
    dtype = "float32"
    ragged = False
    version = 3

    def __init__(
        self, *, rate: int = 16_000, mels: int = 64, seconds: float = 30, slices: int = 20
    ) -> None:
        self._mel = Mel(rate=rate, mels=mels, seconds=seconds)
        self.rate, self.mels, self.seconds, self.slices = rate, mels, seconds, slices
        if mels < CEPSTRA or slices < 1:
            raise UserError(
                "The options of audio/summary are too small",
                expected=f"mels ≥ {CEPSTRA}, slices ≥ 1",
                got=f"mels={mels}, slices={slices}",
            )

    @property
    def size(self) -> int:
        """Numbers in one vector."""
        statistics = 5 * (2 * CEPSTRA + self.mels + 2)
        return self.slices * CEPSTRA + statistics + 2 * CEPSTRA + 3

    def encode(self, cell: Media) -> np.ndarray[Any, Any]:
        """Sound -> `(size,)`; see `Form.encode`. UserErrors as `_decode.waveform` says."""
        samples = _decode.waveform(cell, self.rate, self.seconds)
        whole = _spectrum.log_mel(samples, self.rate, self.mels, round(self.rate * HOP))
        loudness = np.logaddexp.reduce(whole, axis=1)
        start, end = _loud_part(loudness)
        trimmed, loudness = whole[start:end], loudness[start:end, None]
        cepstra = whole @ _cosines(self.mels)
        spoken = cepstra[start:end]
        share = np.exp(trimmed - loudness)
        centroid = share @ np.arange(self.mels)[:, None] / self.mels
        parts = [
            slices(spoken, self.slices).ravel(),
            *(_statistics(x) for x in (spoken, _change(spoken), trimmed, loudness, centroid)),
            cepstra.mean(0),
            cepstra.std(0),
            # Durations as logarithms: twice as long matters the same at any length.
            np.log([len(whole), len(trimmed)]),
            [np.mean(np.diff(np.signbit(samples)))] if len(samples) > 1 else [0.0],
        ]
        return np.concatenate(parts).astype(np.float32)

    def was_truncated(self, cell: Media) -> bool:
        """Whether `encode` leaves out the end of this sound; reads its header only."""
        return self._mel.was_truncated(cell)


@lru_cache(maxsize=4)
def _cosines(mels: int) -> np.ndarray[Any, Any]:
    """The orthonormal cosine transform of type 2, its first columns: `(mels, CEPSTRA)`."""
    at = (np.arange(mels)[:, None] + 0.5) * np.arange(CEPSTRA) * np.pi / mels
    found = np.cos(at) * np.sqrt(2 / mels)
    found[:, 0] /= np.sqrt(2)
    return found


def _loud_part(loudness: np.ndarray[Any, Any]) -> tuple[int, int]:
    """First frame and one past the last frame that are within QUIET of the loudest."""
    loud = np.flatnonzero(loudness >= loudness.max() - QUIET / 10 * np.log(10))
    return int(loud[0]), int(loud[-1]) + 1


def _statistics(x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.concatenate([x.mean(0), x.std(0), *np.percentile(x, [10, 50, 90], axis=0)])


def _change(x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.gradient(x, axis=0) if len(x) > 1 else np.zeros_like(x)
