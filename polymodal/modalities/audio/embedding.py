"""Google's speech embedding on samples: two networks of TensorFlow Lite, without torch."""

from __future__ import annotations

import importlib.util
import threading
from pathlib import Path
from typing import Any

import numpy as np

from polymodal.base.errors import UserError
from polymodal.modalities.audio.tflite import Lite

RATE, WIDTH = 16_000, 96
SPECTRUM, EMBEDDING = "melspectrogram.tflite", "embedding_model.tflite"
# An embedding hears so many frames of 10 ms, and comes every STEP of them.
FRAMES, STEP, HOP, WINDOW = 76, 8, 160, 512
BANDS = 32
# What installs the runtime, and where in it that lies.
MODULE, INSTALL, LIBRARIES = "pyopen_wakeword", "polymodal[speech]", "lib"


def prepared(samples: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Samples as 16-bit numbers, `(steps, 1)`; silence behind what is too short to be heard."""
    least = (FRAMES - 1) * HOP + WINDOW
    samples = np.pad(samples, (0, max(0, least - len(samples))))
    return np.round(samples * 32767).clip(-32768, 32767).astype(np.float32)[:, None]


class Embedding:
    """Prepared samples in, one vector every 80 ms out; threads may share it.

    Args:
        folder: with both networks.

    Raises:
        UserError: the runtime is not installed, or a file is damaged.
    """

    def __init__(self, folder: Path) -> None:
        library = _library()
        self._spectrum = Lite(library, folder / SPECTRUM)
        self._embedding = Lite(library, folder / EMBEDDING)
        self._lock = threading.Lock()

    def __call__(
        self, data: np.ndarray[Any, Any], mask: np.ndarray[Any, Any]
    ) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """`(batch, steps, 1)` and which steps are real -> `(batch, positions, WIDTH)` and which
        positions are."""
        # Each sound alone: the networks take no mask.
        heard = [self._hear(one[real, 0]) for one, real in zip(data, mask, strict=True)]
        lengths = np.array([len(one) for one in heard])
        values = np.zeros((len(heard), lengths.max(), WIDTH), np.float32)
        for row, outputs in zip(values, heard, strict=True):
            row[: len(outputs)] = outputs
        return values, np.arange(values.shape[1]) < lengths[:, None]

    def _hear(self, samples: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """`(windows, WIDTH)`."""
        with self._lock:
            # The spectrum's scale, as the embedding was trained on.
            frames = self._spectrum(samples[None]).reshape(-1, BANDS) / 10 + 2
            windows = np.lib.stride_tricks.sliding_window_view(frames, FRAMES, axis=0)[::STEP]
            given = windows.transpose(0, 2, 1)[..., None]
            return np.stack([self._embedding(one[None]).reshape(WIDTH) for one in given])


def _library() -> Path:
    spec = importlib.util.find_spec(MODULE)
    found = []
    if spec is not None and spec.origin is not None:
        found = sorted((Path(spec.origin).parent / LIBRARIES).glob("*tensorflowlite_c*"))
    if not found:
        raise UserError(
            "The speech embedding needs the runtime of its package",
            expected=f"the package {MODULE}",
            do=f"pip install '{INSTALL}'",
        )
    return found[0]
