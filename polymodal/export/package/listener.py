"""What stands in for `modalities.audio.listener` in an exported model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from polymodal.contract.answers import Array
from polymodal.export.package.pretrained import facts

# Seconds that every sound is filled up to, as `modalities.audio.listener` has it.
LEAST = 0.05


class Listener:
    """How the model in a folder hears: samples, as they are or standardised."""

    trainable = True

    def __init__(self, folder: str) -> None:
        self.folder, self.told = folder, facts(folder)
        self.rate: int = self.told["rate"]

    def prepare(self, samples: Array) -> Array:
        samples = np.pad(samples, (0, max(0, round(LEAST * self.rate) - len(samples))))
        if self.told["normal"]:
            samples = (samples - samples.mean()) / np.sqrt(samples.var() + 1e-7)
        return samples.astype(np.float32)[:, None]


class Speech(Listener):
    """How the speech embedding hears."""

    trainable = False

    def prepare(self, samples: Array) -> Array:
        from polymodal.modalities.audio.embedding import prepared

        return prepared(samples)

    def reader(self) -> Any:
        from polymodal.modalities.audio.embedding import Embedding

        return Embedding(Path(self.folder))


def listener(folder: str) -> Listener:
    return {"samples": Listener, "embedding": Speech}[facts(folder)["hears"]](folder)
