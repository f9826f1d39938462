"""Google's speech embedding: what is said, for small sets of spoken commands."""

from __future__ import annotations

import importlib.util
import json
import shutil
import threading
from pathlib import Path
from typing import Any, ClassVar, final

import numpy as np
import torch
from torch import Tensor

from polymodal.base.errors import UserError
from polymodal.contract.batch import Tokens
from polymodal.modalities._package import Package
from polymodal.modalities.audio.listener import Listener, Network
from polymodal.modalities.audio.tflite import Lite
from polymodal.nn import checkpoint

RATE, WIDTH = 16_000, 96
SPECTRUM, EMBEDDING = "melspectrogram.tflite", "embedding_model.tflite"
# An embedding hears so many frames of 10 ms, and comes every STEP of them.
FRAMES, STEP, HOP, WINDOW = 76, 8, 160, 512
BANDS = 32
LIBRARIES = "lib"


@final
class SpeechEmbedding(Package):
    """Google's speech embedding (Lin et al. 2020, "Training keyword spotters with limited and
    synthesized speech data") as openWakeWord ships it: width 96, one output every 80 ms.

    It knows what is said and little of who says it. Its networks are TensorFlow Lite files, run by
    the library of the package, so they cannot be trained on. 0.02 to 0.07 s a second of sound
    on one thread, the longer the more.
    """

    title: ClassVar[str] = "Speech embedding"
    module: ClassVar[str] = "pyopen_wakeword"
    pip: ClassVar[str] = "pyopen_wakeword"
    install: ClassVar[str] = "polymodal[speech]"
    licence: ClassVar[str] = "Apache-2.0"
    knows: ClassVar[str] = "what is said in speech"

    def convert(self, source: Path, to: Path) -> None:
        for name in (SPECTRUM, EMBEDDING):
            shutil.copyfile(source / "models" / name, to / name)
        described = {"model_type": "speech_embedding", "hidden_size": WIDTH}
        (to / checkpoint.CONFIG).write_text(json.dumps(described))

    @staticmethod
    def listener(path: str) -> Listener:
        """How it hears; `path` names a folder that `convert` made, or a copy."""
        return _Speech(checkpoint.folder(path))


class _Speech(Listener):
    rate, width = RATE, WIDTH
    trainable: ClassVar[bool] = False

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def prepare(self, samples: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Samples as 16-bit numbers, `(steps, 1)`; silence behind what is too short to be heard."""
        least = (FRAMES - 1) * HOP + WINDOW
        samples = np.pad(samples, (0, max(0, least - len(samples))))
        return np.round(samples * 32767).clip(-32768, 32767).astype(np.float32)[:, None]

    def network(self, *, weights: bool = True) -> Network:
        return _Network(self.folder)


class _Network(Network):
    def __init__(self, folder: Path) -> None:
        super().__init__()
        library = _library()
        self._spectrum = Lite(library, folder / SPECTRUM)
        self._embedding = Lite(library, folder / EMBEDDING)
        self._lock = threading.Lock()

    def forward(self, data: Tensor, mask: Tensor) -> Tokens:
        # Each sound alone: the networks take no mask.
        heard = [
            self._hear(one[real, 0].cpu().numpy()) for one, real in zip(data, mask, strict=True)
        ]
        longest = max(map(len, heard))
        values = data.new_zeros(len(heard), longest, WIDTH)
        for row, outputs in zip(values, heard, strict=True):
            row[: len(outputs)] = torch.from_numpy(outputs)
        lengths = torch.tensor([len(one) for one in heard], device=data.device)
        return Tokens(values, torch.arange(longest, device=data.device) < lengths.unsqueeze(1))

    def _hear(self, samples: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """`(windows, WIDTH)`."""
        with self._lock:
            # The spectrum's scale, as the embedding was trained on.
            frames = self._spectrum(samples[None]).reshape(-1, BANDS) / 10 + 2
            windows = np.lib.stride_tricks.sliding_window_view(frames, FRAMES, axis=0)[::STEP]
            given = windows.transpose(0, 2, 1)[..., None]
            return np.stack([self._embedding(one[None]).reshape(WIDTH) for one in given])


def _library() -> Path:
    spec = importlib.util.find_spec(SpeechEmbedding.module)
    found = []
    if spec is not None and spec.origin is not None:
        found = sorted((Path(spec.origin).parent / LIBRARIES).glob("*tensorflowlite_c*"))
    if not found:
        raise UserError(
            f"{SpeechEmbedding.title} needs the runtime of its package",
            expected=f"the package {SpeechEmbedding.pip}",
            do=f"pip install '{SpeechEmbedding.install}'",
        )
    return found[0]
