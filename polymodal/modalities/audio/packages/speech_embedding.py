"""Google's speech embedding: what is said, for small sets of spoken commands."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, ClassVar, final

import numpy as np
import torch
from torch import Tensor

from polymodal.contract.batch import Tokens
from polymodal.modalities._package import Package
from polymodal.modalities.audio.embedding import (
    EMBEDDING,
    INSTALL,
    MODULE,
    RATE,
    SPECTRUM,
    WIDTH,
    Embedding,
    prepared,
)
from polymodal.modalities.audio.listener import Listener, Network
from polymodal.nn import checkpoint


@final
class SpeechEmbedding(Package):
    """Google's speech embedding (Lin et al. 2020, "Training keyword spotters with limited and
    synthesized speech data") as openWakeWord ships it: width 96, one output every 80 ms.

    It knows what is said and little of who says it. Its networks are TensorFlow Lite files, run by
    the library of the package, so they cannot be trained on. 0.02 to 0.07 s a second of sound
    on one thread, the longer the more.
    """

    title: ClassVar[str] = "Speech embedding"
    module: ClassVar[str] = MODULE
    pip: ClassVar[str] = "pyopen_wakeword"
    install: ClassVar[str] = INSTALL
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
        return prepared(samples)

    def network(self, *, weights: bool = True) -> Network:
        return _Network(self.folder)

    def along(self, folder: Path) -> dict[str, Any]:
        for name in (SPECTRUM, EMBEDDING):
            shutil.copyfile(self.folder / name, folder / name)
        return {"hears": "embedding", "rate": RATE, "graph": False, "needs": [MODULE]}


class _Network(Network):
    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._embedding = Embedding(folder)

    def forward(self, data: Tensor, mask: Tensor) -> Tokens:
        values, real = self._embedding(data.cpu().numpy(), mask.cpu().numpy())
        return Tokens(torch.from_numpy(values).to(data), torch.from_numpy(real).to(data.device))
