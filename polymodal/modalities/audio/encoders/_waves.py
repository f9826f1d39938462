"""What encoders of samples share: convolutions to 50 frames a second, then a Transformer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from polymodal.contract.batch import Field, Tokens
from polymodal.contract.encoder import Encoder
from polymodal.modalities.audio.forms.waveform import Waveform
from polymodal.nn.architecture import Architecture, check_sizes

LAYERS = 7  # of convolution, each halving time but for the first, which takes a fifth


class WaveEncoder(Encoder, ABC):
    """Samples, each sound's own scale taken off, to a token every 320 samples.

    A sound shorter than one token's 400 samples gets one, of what it has and silence.

    Args:
        form: the fitted form.
        width: of the tokens.
        hidden: of the Transformer's states.
        depth: of its layers.
        heads: of its attention; must divide `hidden`.
        channels: of the convolutions.
        norm: "layer" normalises every convolution and, in the Transformer, what goes into a layer
            (the papers' large models); "group" the first convolution over time, and what comes out
            of a layer (the papers' base models).
        dropout: in the Transformer.
    """

    kind: ClassVar[str] = "audio"
    form: ClassVar[str] = "waveform"
    timed = True

    def __init__(
        self,
        form: Waveform,
        width: int,
        *,
        hidden: int = 128,
        depth: int = 4,
        heads: int = 4,
        channels: int = 32,
        norm: str = "layer",
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        check_sizes(hidden, heads, depth)
        settings = {
            "hidden_size": hidden,
            "num_hidden_layers": depth,
            "num_attention_heads": heads,
            "intermediate_size": 4 * hidden,
            "conv_dim": [channels] * LAYERS,
            "conv_bias": norm == "layer",
            "feat_extract_norm": norm,
            "do_stable_layer_norm": norm == "layer",
            "hidden_dropout": dropout,
            "activation_dropout": dropout,
            "attention_dropout": dropout,
            "feat_proj_dropout": dropout,
            # Of what is left out at random only dropout is: forms and fields are augmented
            # elsewhere, and a layer that is skipped learns nothing in the few steps there are.
            "layerdrop": 0.0,
            "mask_time_prob": 0.0,
            "mask_feature_prob": 0.0,
        }
        self.network = Architecture(self._model(settings))
        self.project = nn.Linear(hidden, width)

    @abstractmethod
    def _model(self, settings: dict[str, Any]) -> Any:
        """The model of these settings, with random weights."""

    def lengths(self, counts: Tensor) -> Tensor:
        model: Any = self.network.model
        found = counts
        for layer in model.feature_extractor.conv_layers:
            found = _shorter(layer, found)
        return torch.where(counts > 0, found, 0)

    def forward(self, field: Field) -> Tokens:
        """Field `(batch, samples, 1)` -> Tokens `(batch, about samples / 320, width)`."""
        assert field.mask is not None
        model: Any = self.network.model
        x, counts = _unscaled(field.data.squeeze(2), field.mask), field.mask.sum(1)
        # Room for the one token of the shortest sound, whatever there is beside it.
        x = nn.functional.pad(x, (0, _reach(model) - 1)).unsqueeze(1)
        some = counts > 0
        with _exact(x.device):
            for layer in model.feature_extractor.conv_layers:
                counts = _shorter(layer, counts)
                x = _convolved(layer, x, counts)
            mask = _upto(counts, x) & some.unsqueeze(1)
            states = model.feature_projection(x.transpose(1, 2))
            states = states[0] if isinstance(states, tuple) else states
            # A row without a sound reads what there is, which is finite, and is set to zero below.
            read = mask | ~some.unsqueeze(1)
            states = model.encoder(states, attention_mask=read).last_hidden_state
        return Tokens(torch.where(mask.unsqueeze(2), self.project(states), 0), mask)


def _shorter(layer: Any, counts: Tensor) -> Tensor:
    """How many frames a convolution makes of so many."""
    kernel, stride = layer.conv.kernel_size[0], layer.conv.stride[0]
    return ((counts - kernel) // stride + 1).clamp(min=1)


def _unscaled(samples: Tensor, mask: Tensor) -> Tensor:
    """Each row of `(batch, n)` less its mean and by its deviation; zeros where masked."""
    count = mask.sum(1, keepdim=True).clamp(min=1)
    x = torch.where(mask, samples, 0)
    x = torch.where(mask, x - x.sum(1, keepdim=True) / count, 0)
    return x / ((x**2).sum(1, keepdim=True) / count + 1e-7).sqrt()


def _exact(device: torch.device) -> AbstractContextManager[Any]:
    """Float32 inside, on a CPU, where bfloat16 was measured to put tokens a tenth off."""
    if device.type == "cpu" and torch.is_autocast_enabled("cpu"):
        return torch.autocast("cpu", enabled=False)
    return nullcontext()


def _reach(model: Any) -> int:
    """Samples under one token."""
    reach = 1
    for layer in reversed(model.feature_extractor.conv_layers):
        reach = (reach - 1) * layer.conv.stride[0] + layer.conv.kernel_size[0]
    return reach


def _convolved(layer: Any, x: Tensor, counts: Tensor) -> Tensor:
    """A layer of `x (batch, channels, n)`, whose norm over time counts real frames alone."""
    norm = getattr(layer, "layer_norm", None)
    if not isinstance(norm, nn.GroupNorm):
        made: Tensor = layer(x)
        return made
    x = layer.conv(x)
    real, known = _upto(counts, x).unsqueeze(1), counts.view(-1, 1, 1)
    off = x.float() - torch.where(real, x.float(), 0).sum(2, keepdim=True) / known
    variance = torch.where(real, off**2, 0).sum(2, keepdim=True) / known
    scaled = off / (variance + norm.eps).sqrt()
    scaled = scaled * norm.weight.unsqueeze(1) + norm.bias.unsqueeze(1)
    active: Tensor = layer.activation(scaled.to(x.dtype))
    return active


def _upto(counts: Tensor, x: Tensor) -> Tensor:
    """`(batch, n)` bool: the first `counts` of the last axis of `x`."""
    return torch.arange(x.shape[-1], device=x.device) < counts.unsqueeze(1)
