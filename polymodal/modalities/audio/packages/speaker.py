"""Resemblyzer's speaker encoder: who speaks."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from polymodal.contract.batch import Tokens
from polymodal.modalities._package import Package, unpickled
from polymodal.modalities.audio.listener import Listener, Network
from polymodal.nn import checkpoint

RATE, WIDTH, BANDS, LAYERS = 16_000, 256, 40, 3
WINDOW, HOP = 400, 160
# Frames of 10 ms that one output hears; so many lie between two; and so many make a last one.
HEARD, STEP, ENOUGH = 160, 77, 120
# What is quieter is made as loud as this, in decibels below full scale.
LOUDNESS = -30.0
FILE = "model.safetensors"


@final
class Speaker(Package):
    """The speaker encoder of Wan et al. 2018 ("Generalized end-to-end loss for speaker
    verification") as Resemblyzer trained it: an LSTM, width 256, one output every 0.77 s.

    It knows who speaks and little of what is said. 0.01 s a second of sound on one thread.
    """

    title: ClassVar[str] = "Speaker encoder"
    module: ClassVar[str] = "resemblyzer"
    pip: ClassVar[str] = "Resemblyzer"
    install: ClassVar[str] = "Resemblyzer"
    # A detector of voices that needs a compiler, and librosa with its compiler.
    alone: ClassVar[bool] = True
    licence: ClassVar[str] = "Apache-2.0"
    knows: ClassVar[str] = "who speaks"
    rank: ClassVar[int] = 1

    def convert(self, source: Path, to: Path) -> None:
        from safetensors.torch import save_file

        state = unpickled(source / "pretrained.pt")["model_state"]
        kept = {k: v.contiguous() for k, v in state.items() if k.startswith(("lstm.", "linear."))}
        save_file(kept, to / FILE)
        described = {"model_type": "speaker", "hidden_size": WIDTH}
        (to / checkpoint.CONFIG).write_text(json.dumps(described))

    @staticmethod
    def listener(path: str) -> Listener:
        """How it hears; `path` names a folder that `convert` made, or a copy."""
        return _Voice(path)


class _Voice(Listener):
    rate, width = RATE, WIDTH

    def __init__(self, path: str) -> None:
        self.path = path

    def prepare(self, samples: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Mel power spectrogram, no logarithm, `(frames, BANDS)`."""
        power = float(np.mean(np.square(samples, dtype=np.float64)))
        gain = 10 ** (LOUDNESS / 20) / max(power, 1e-12) ** 0.5
        samples = samples * max(1.0, gain) if power > 0 else samples
        padded = np.pad(samples.astype(np.float64), WINDOW // 2)
        frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP]
        window = np.hanning(WINDOW + 1)[:-1]
        spectrum = np.abs(np.fft.rfft(frames * window)) ** 2
        return (spectrum @ _filters()).astype(np.float32)

    def network(self, *, weights: bool = True) -> Network:
        network = _Network()
        if weights:
            from safetensors.torch import load_file

            checkpoint.check_weights(self.path)
            network.load_state_dict(load_file(checkpoint.folder(self.path) / FILE))
        return network.eval()


class _Network(Network):
    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(BANDS, WIDTH, LAYERS, batch_first=True)
        self.linear = nn.Linear(WIDTH, WIDTH)

    def forward(self, data: Tensor, mask: Tensor) -> Tokens:
        # Silence is zeros: what stands behind a sound's end is that.
        data = F.pad(torch.where(mask.unsqueeze(-1), data, 0), (0, 0, 0, HEARD))
        heard = data.unfold(1, HEARD, STEP).transpose(2, 3)
        _, (last, _) = self.lstm(heard.flatten(0, 1))
        values = F.normalize(F.relu(self.linear(last[-1])), dim=1).view(*heard.shape[:2], WIDTH)
        starts = STEP * torch.arange(values.shape[1], device=data.device)
        lengths = mask.sum(1, keepdim=True)
        real = (starts == 0) | (starts + ENOUGH <= lengths)
        return Tokens(torch.where(real.unsqueeze(-1), values, 0), real)


@lru_cache(maxsize=1)
def _filters() -> np.ndarray[Any, Any]:
    """Slaney's mel filters, each of area 1, `(WINDOW // 2 + 1, BANDS)`."""
    from transformers.audio_utils import mel_filter_bank

    found: np.ndarray[Any, Any] = mel_filter_bank(
        WINDOW // 2 + 1, BANDS, 0.0, RATE / 2, RATE, norm="slaney", mel_scale="slaney"
    )
    return found
