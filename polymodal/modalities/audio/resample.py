"""Samples at one rate to samples at another, by numpy alone: exported models need no more."""

from __future__ import annotations

from functools import lru_cache
from math import gcd
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

# Zero crossings of the filter on either side, and the shape of its window: scipy's own.
CROSSINGS, BETA = 10, 5.0


def resampled(samples: Array, up: int, down: int) -> Array:
    """Samples `(n,)` at `up / down` times their rate, float32 `(ceil(n * up / down),)`.

    Polyphase filtering by a windowed sinc (Crochiere and Rabiner 1983), as
    `scipy.signal.resample_poly` does it.
    """
    divisor = gcd(up, down)
    up, down = up // divisor, down // divisor
    if up == down:
        return samples.astype(np.float32)
    phases, ahead = _filter(up, down)
    taps = phases.shape[1]
    count = -(-len(samples) * up // down)
    # Output n is at step n * down + ahead of the signal that has up - 1 zeros after each sample.
    last = ((count - 1) * down + ahead) // up
    padded = np.pad(samples.astype(np.float64), (taps - 1, max(0, last + 1 - len(samples))))
    windows = np.lib.stride_tricks.sliding_window_view(padded, taps)
    found = np.empty(count, np.float32)
    # Every up-th output meets the same numbers of the filter, `down` samples further on.
    for first in range(min(up, count)):
        start, phase = divmod(first * down + ahead, up)
        own = found[first::up]
        own[:] = windows[start::down][: len(own)] @ phases[phase]
    return found


@lru_cache(maxsize=16)
def _filter(up: int, down: int) -> tuple[Array, int]:
    """`(up, taps)`: what each phase multiplies samples with, the latest last; its half length."""
    most = max(up, down)
    half = CROSSINGS * most
    steps = np.arange(-half, half + 1)
    response = np.sinc(steps / most) * np.kaiser(2 * half + 1, BETA)
    response *= up / response.sum()
    taps = -(-len(response) // up)
    padded = np.pad(response, (0, taps * up - len(response)))
    return np.ascontiguousarray(padded.reshape(taps, up).T[:, ::-1]), half
