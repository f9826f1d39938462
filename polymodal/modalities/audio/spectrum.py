"""Log-mel spectrograms: samples to (frames, mels)."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

WINDOW = 0.025  # seconds under one frame's window
FLOOR = 1e-10  # power under which everything is silence
BLOCK = 1024  # frames transformed at once: an hour's spectrum would take gigabytes
RANGE = 80.0  # dB below a sound's loudest band that still count


def log_mel(samples: np.ndarray[Any, Any], rate: int, mels: int, hop: int) -> np.ndarray[Any, Any]:
    """Natural logarithm of the mel power spectrogram, float32 `(about n / hop, mels)`.

    Hann windows of 25 ms centred on every `hop`-th sample, zeros beyond both ends, HTK mel
    filters. Values lower than RANGE below the sound's maximum are raised to that, so that digital
    silence looks like the quiet of any other recording.

    Args:
        samples: mono `(n,)`, n ≥ 1.
        rate: samples a second.
        mels: number of bands between 0 Hz and rate / 2.
        hop: samples from one frame to the next.
    """
    length = round(WINDOW * rate)
    filters = mel_filters(rate, mels)
    padded = np.pad(samples.astype(np.float64), length // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, length)[::hop]
    window, fft = np.hanning(length + 1)[:-1], 2 * (len(filters) - 1)
    power = np.empty((len(frames), mels))
    for start in range(0, len(frames), BLOCK):
        block = np.s_[start : start + BLOCK]
        power[block] = np.abs(np.fft.rfft(frames[block] * window, fft)) ** 2 @ filters
    power = np.maximum(power, FLOOR)
    power = np.maximum(power, power.max() * 10 ** (-RANGE / 10))
    return np.log(power).astype(np.float32)


@lru_cache(maxsize=8)
def mel_filters(rate: int, mels: int) -> np.ndarray[Any, Any]:
    """Triangular filters, evenly spaced on the HTK mel scale, `(fft // 2 + 1, mels)`.

    The transform is long enough (windows are padded with zeros) that even the narrowest filter,
    the lowest, has a frequency to itself.
    """
    edges = _hertz(np.linspace(0, _mel(rate / 2), mels + 2))
    low, centre, high = edges[:-2], edges[1:-1], edges[2:]
    fft = 1 << (round(WINDOW * rate) - 1).bit_length()
    while rate / fft > edges[1]:
        fft *= 2
    bins = np.linspace(0, rate / 2, fft // 2 + 1)[:, None]
    rising, falling = (bins - low) / (centre - low), (high - bins) / (high - centre)
    return np.maximum(0, np.minimum(rising, falling))


def _mel(hertz: float) -> float:
    return float(2595 * np.log10(1 + hertz / 700))


def _hertz(mel: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return 700 * (10 ** (mel / 2595) - 1)
