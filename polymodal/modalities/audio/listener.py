"""Pretrained models of sounds: what they are given of a sound, and what they make of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from polymodal.base import lookup
from polymodal.base.errors import UserError
from polymodal.contract.batch import Tokens
from polymodal.nn import checkpoint, pretrained, processors
from polymodal.nn.reader import Reader

AUDIO = pretrained.Half("audio", ("input_values", "input_features"), "audio_model")
PACKAGES = "modalities/audio/packages"
# Seconds that every sound is filled up to: windows of convolutions need as much.
LEAST = 0.05


class Network(nn.Module, ABC):
    """A model of sounds, in evaluation mode.

    Attributes:
        is_backbone: tells the optimiser to move its weights at a rate of their own.
        step: seconds from one position to the next; None: it is not told.
    """

    is_backbone: ClassVar[bool] = True
    step: float | None = None

    def lengths(self, counts: Tensor) -> Tensor:
        """How many positions sounds of so many steps have, where `step` is told."""
        raise NotImplementedError(f"The positions of {type(self).__name__} are not counted in time")

    @abstractmethod
    def forward(self, data: Tensor, mask: Tensor) -> Tokens:
        """Prepared sounds `(batch, steps, features)` and which steps are real `(batch, steps)` ->
        Tokens `(batch, positions, width)`, in order of time; what stands at steps that are not
        real changes no real position."""


class Listener(ABC):
    """How a pretrained model hears a sound; it loads no weights until a network is asked for.

    Attributes:
        rate: samples a second that it takes.
        width: of its network's outputs.
        trainable: whether the network can be trained on.
    """

    rate: int
    width: int
    trainable: ClassVar[bool] = True

    @abstractmethod
    def prepare(self, samples: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Samples `(n,)` at `rate` -> what the network takes, float32 `(steps, features)`."""

    @abstractmethod
    def network(self, *, weights: bool = True) -> Network:
        """The network; `weights=False`: with random ones. UserErrors as `pretrained.load` says."""

    def reader(self) -> Reader:
        """The network, as a form calls it: "data" and "mask" -> values, and which are real."""
        found = Reader(_Heard(self.network()), ("data", "mask"), ragged=True)
        found.outputs = ("values", "real")
        return found

    def along(self, folder: Path) -> dict[str, Any]:
        """As `PretrainedForm.along`: "hears" says how, to `export/package/listener.py`."""
        raise UserError(
            "What this model of sounds hears is prepared by transformers alone",
            expected="a model of samples (wav2vec 2.0, HuBERT), or the speech embedding",
            got=type(self).__name__.strip("_").lower(),
            do="choose another model, or serve the run itself",
        )


class _Heard(nn.Module):
    """A network whose tokens are a tuple."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, *given: Tensor) -> tuple[Tensor, Tensor]:
        tokens = self.network(*given)
        return tokens.values, tokens.mask


def listener(path: str) -> Listener:
    """How the model in a folder hears, of a package of weights or a hub id.

    A configuration names its model's type; one that a file in `packages/` is called by is that
    file's, any other is a model of transformers.
    """
    named = checkpoint.read(checkpoint.folder(path) / checkpoint.CONFIG).get("model_type")
    if named in lookup.names(PACKAGES):
        found = lookup.find(PACKAGES, named).listener(path)
        assert isinstance(found, Listener)
        return found
    return _Transformer(path)


class _Transformer(Listener):
    """A model of transformers: of waveforms (wav2vec 2.0, HuBERT), or of spectrograms of one length
    (Whisper's encoder, the spectrogram Transformer AST)."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.width = pretrained.width(path, AUDIO)

    @cached_property
    def rate(self) -> int:  # type: ignore[override]
        return int(self._extractor.sampling_rate)

    def prepare(self, samples: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Samples, standardised as the model asks; or frames of its spectrogram.

        Of a spectrogram that is filled up to a length, the frames that only repeat the last one
        are left out but for one, and the network repeats it.
        """
        samples = np.pad(samples, (0, max(0, round(LEAST * self.rate) - len(samples))))
        with processors.explained(f"'{self.path}' cannot hear a sound", "choose another model"):
            made = self._extractor(samples, sampling_rate=self.rate, return_tensors="np")
            array = np.asarray(made[self._extractor.model_input_names[0]][0], np.float32)
        if array.ndim == 1:
            return array[:, None]
        frames = array if array.shape[1] == self._bands else array.T
        changes = np.flatnonzero((frames != frames[-1]).any(1))
        return frames[: int(changes[-1]) + 2 if len(changes) else 1]

    def network(self, *, weights: bool = True) -> Network:
        model = pretrained.load(self.path, AUDIO, weights=weights)
        known: tuple[type[_Hearing], ...] = (_Waveform, _Whisper, _Spectrogram)
        for one in known:
            if all(hasattr(model.config, name) for name in one.told):
                found = one(model)
                found.step = found.seconds(self._extractor)
                return found
        raise UserError(
            f"'{self.path}' hears in a way that is not known",
            expected="a model like wav2vec 2.0, HuBERT, Whisper or AST",
            got=f"a model of the type {model.config.model_type}",
            do="choose another model",
        )

    def along(self, folder: Path) -> dict[str, Any]:
        from transformers import Wav2Vec2FeatureExtractor

        if type(self._extractor) is not Wav2Vec2FeatureExtractor:
            return super().along(folder)
        return {"hears": "samples", "rate": self.rate, "normal": self._extractor.do_normalize}

    @cached_property
    def _bands(self) -> int | None:
        return pretrained.told(self.path, AUDIO, "num_mel_bins")

    @cached_property
    def _extractor(self) -> Any:
        return processors.feature_extractor(self.path)


class _Hearing(Network, ABC):
    """A loaded model of transformers.

    Attributes:
        told: what its configuration says and no other kind's does.
    """

    told: ClassVar[tuple[str, ...]]

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def seconds(self, extractor: Any) -> float | None:
        """From one position to the next, of sounds that an extractor prepared."""
        return None


class _Waveform(_Hearing):
    """Convolutions on samples, and a Transformer (Baevski et al. 2020, Hsu et al. 2021)."""

    told = ("conv_kernel", "conv_stride")

    def __init__(self, model: Any) -> None:
        super().__init__(model)
        self.field, self.stride = 1, 1
        for kernel, stride in zip(model.config.conv_kernel, model.config.conv_stride, strict=True):
            self.field += (kernel - 1) * self.stride
            self.stride *= stride
        model.feature_extractor = _Features(model.feature_extractor)

    def seconds(self, extractor: Any) -> float | None:
        return self.stride / float(extractor.sampling_rate)

    def lengths(self, counts: Tensor) -> Tensor:
        return ((counts - self.field) // self.stride + 1).clamp(min=0)

    def forward(self, data: Tensor, mask: Tensor) -> Tokens:
        data = F.pad(torch.where(mask.unsqueeze(-1), data, 0), (0, 0, 0, self.field))
        # Softmax over nothing is not a number: a row without a sound attends to its padding.
        real = F.pad(mask | ~mask.any(1, keepdim=True), (0, self.field))
        packed = torch.cat([data, real.unsqueeze(-1).to(data.dtype)], -1)
        values = self.model(packed, attention_mask=real.long()).last_hidden_state
        # Where the last sample under a position is real, all are.
        heard = real[:, self.field - 1 :: self.stride]
        return Tokens(torch.where(heard.unsqueeze(-1), values, 0), heard)


class _Features(nn.Module):
    """The convolutions, whose first may be followed by a norm over time: here, over real time.

    Over padding too, a sound would change with what it is batched with.
    """

    def __init__(self, inner: Any) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, packed: Tensor) -> Tensor:
        """`(batch, samples, 2)`: samples, and 1 where they are real -> `(batch, channels, n)`."""
        x, real = packed[..., 0].unsqueeze(1), packed[..., 1]
        for layer in self.inner.conv_layers:
            norm = getattr(layer, "layer_norm", None)
            if not isinstance(norm, nn.GroupNorm):
                x = layer(x)
                continue
            kernel, stride = layer.conv.kernel_size[0], layer.conv.stride[0]
            x, real = layer.conv(x), real[:, kernel - 1 :: stride]
            weight = real.unsqueeze(1) / real.sum(1).clamp(min=1)[:, None, None]
            centred = x - (x * weight).sum(2, keepdim=True)
            variance = (centred.square() * weight).sum(2, keepdim=True)
            x = centred * (variance + norm.eps).rsqrt() * norm.weight[:, None] + norm.bias[:, None]
            x = layer.activation(x)
        return x


class _Fixed(_Hearing, ABC):
    """A model of spectrograms of one length, which the last frame given is repeated to."""

    def filled(self, data: Tensor, mask: Tensor, frames: int) -> tuple[Tensor, Tensor]:
        """`(batch, frames, bands)`, and how many of each row are real, `(batch, 1)`."""
        lengths = mask.sum(1, keepdim=True).clamp(min=1, max=frames)
        index = torch.minimum(torch.arange(frames, device=data.device), lengths - 1)
        return data.gather(1, index.unsqueeze(-1).expand(-1, -1, data.shape[2])), lengths


class _Whisper(_Fixed):
    """Whisper's encoder (Radford et al. 2022): two frames a position."""

    told = ("max_source_positions", "num_mel_bins")
    stride = 2

    def seconds(self, extractor: Any) -> float | None:
        return self.stride * float(extractor.hop_length / extractor.sampling_rate)

    def lengths(self, counts: Tensor) -> Tensor:
        return -(-counts // self.stride)

    def forward(self, data: Tensor, mask: Tensor) -> Tokens:
        places = self.model.config.max_source_positions
        frames, lengths = self.filled(data, mask, self.stride * places)
        values = self.model(frames.transpose(1, 2)).last_hidden_state
        real = self.stride * torch.arange(values.shape[1], device=data.device) < lengths
        return Tokens(torch.where(real.unsqueeze(-1), values, 0), real)


class _Spectrogram(_Fixed):
    """AST (Gong et al. 2021): patches of a spectrogram, here their means over the bands."""

    told = ("frequency_stride", "time_stride", "max_length")

    def forward(self, data: Tensor, mask: Tensor) -> Tokens:
        config = self.model.config
        frames, lengths = self.filled(data, mask, config.max_length)
        # The class and the distillation token come first; patches go through time, band by band.
        values = self.model(frames).last_hidden_state[:, 2:]
        times = (config.max_length - config.patch_size) // config.time_stride + 1
        values = values.unflatten(1, (-1, times)).mean(1)
        real = config.time_stride * torch.arange(times, device=data.device) < lengths
        return Tokens(torch.where(real.unsqueeze(-1), values, 0), real)
