"""Fixed descriptors of a time series, for linear models, boosted trees and small networks."""

from __future__ import annotations

from typing import Any

import numpy as np

from polymodal.base.errors import UserError
from polymodal.modalities.series.forms._form import SeriesForm
from polymodal.modalities.series.slices import slices
from polymodal.table.media import Media

QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)
LAGS = (1, 2, 4, 8)
BANDS = 7  # octaves of frequency, down from half a cycle a step
PER_CHANNEL = 17 + len(QUANTILES) + len(LAGS) + BANDS
CORRELATED = 32  # channels; with more, their pairs would outnumber everything else


class Summary(SeriesForm):
    """A series to one vector of fixed length, float32 `(size,)`.

    For every channel: mean, deviation, extremes, quantiles, first, last, slope, roughness, how
    often it crosses its mean, autocorrelations, how its energy divides over octaves of frequency,
    and its course in `slices` equal parts. Then the correlations of the channels and the length.

    Args:
        slices: parts in time.
        layout: as `SeriesForm` says.
    """

    ragged = False

    def __init__(self, *, slices: int = 16, layout: str = "auto") -> None:
        super().__init__(layout)
        if slices < 1:
            raise UserError(
                "The option slices leaves a series no slice", expected="slices ≥ 1", got=str(slices)
            )
        self.slices = slices

    @property
    def size(self) -> int:
        """Numbers in one vector; known after `fit`."""
        n = self.channels
        pairs = n * (n - 1) // 2 if n <= CORRELATED else 0
        return n * (self.slices + PER_CHANNEL) + pairs + 1

    def encode(self, cell: Media) -> np.ndarray[Any, Any]:
        """Series -> `(size,)`; see `Form.encode`. UserErrors as `load` says."""
        x = self.load(cell).astype(np.float64)
        z = (x - x.mean(0)) / _nonzero(x.std(0))
        parts = [
            _shape(x, z),
            _autocorrelations(z),
            _octaves(z),
            slices(x, self.slices),
            _correlations(z) if x.shape[1] <= CORRELATED else np.zeros(0),
            # As a logarithm: twice as long matters the same at any length.
            np.log([len(x)]),
        ]
        return np.concatenate([part.ravel() for part in parts]).astype(np.float32)


def _shape(x: np.ndarray[Any, Any], z: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Levels, course and spreads `(17 + QUANTILES, channels)`; z is x standardised."""
    steps = np.diff(x, axis=0) if len(x) > 1 else np.zeros_like(x)
    time = np.linspace(-1, 1, len(x)) if len(x) > 1 else np.zeros(1)
    slope = time @ x / _nonzero(time @ time)
    crossings = np.abs(np.diff(z > 0, axis=0)).mean(0) if len(x) > 1 else np.zeros(x.shape[1])
    rough = np.abs(steps)
    spreads = np.stack([x.std(0), np.ptp(x, axis=0), rough.mean(0), rough.max(0), steps.std(0)])
    levels = [x.mean(0), x.min(0), x.max(0), x[0], x[-1], *np.quantile(x, QUANTILES, axis=0)]
    # Spreads differ by orders of magnitude (rest and running), so their logarithms count as well.
    logarithms = np.log(np.maximum(spreads, 1e-12))
    return np.stack([*levels, slope, crossings, *spreads, *logarithms])


def _autocorrelations(z: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """`(LAGS, channels)`; 0 at lags that the series is too short for."""
    none = np.zeros(z.shape[1])
    return np.stack(
        [(z[lag:] * z[:-lag]).sum(0) / len(z) if lag < len(z) else none for lag in LAGS]
    )


def _octaves(z: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Logarithms of the energy's shares `(BANDS, channels)`, floored at a thousandth."""
    energy = np.abs(np.fft.rfft(z, axis=0))[1:] ** 2
    frequency = np.fft.rfftfreq(len(z))[1:]
    # The lowest band takes everything below its octave too.
    band = np.clip(np.ceil(np.log2(0.5 / frequency) - 1e-9), 1, BANDS).astype(int) - 1
    sums = np.zeros((BANDS, z.shape[1]))
    np.add.at(sums, band, energy)
    return np.log(0.001 + sums / _nonzero(sums.sum(0)))


def _correlations(z: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return (z.T @ z / len(z))[np.triu_indices(z.shape[1], 1)]


def _nonzero(x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """x with 1 in place of (almost) 0, to divide by: what does not vary stays 0."""
    return np.where(x > 1e-12, x, 1.0)
