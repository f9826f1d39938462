"""Inflated convolutions: a network of pictures whose filters see time as well."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from polymodal.base.errors import UserError
from polymodal.contract.batch import Field, Tokens
from polymodal.contract.encoder import Encoder
from polymodal.modalities.video.encoders._volumes import Convolution, Pool, Strides
from polymodal.modalities.video.forms.frames import Frames
from polymodal.nn.masked import all_real
from polymodal.nn.trunk import Normalise, on_present

PAPER = 64  # channels of the paper's first layer
# Channels of each module's branches: 1; 1 then 3; 1 then 3; pooled then 1 (Szegedy et al. 2015).
# A step that halves time and space stands between the lists.
MODULES = (
    ((64, 96, 128, 16, 32, 32), (128, 128, 192, 32, 96, 64)),
    (
        (192, 96, 208, 16, 48, 64),
        (160, 112, 224, 24, 64, 64),
        (128, 128, 256, 24, 64, 64),
        (112, 144, 288, 32, 64, 64),
        (256, 160, 320, 32, 128, 128),
    ),
    ((256, 160, 320, 32, 128, 128), (384, 192, 384, 48, 128, 128)),
)


class I3d(Encoder):
    """I3D on Inception (Carreira and Zisserman 2017, arXiv 1705.07750): one token a moment left.

    It starts as the network of pictures that it was inflated from, of random weights: every filter
    the same at all moments. A clip that is one picture throughout is to it what the picture is to
    that network. Maps are halved no further than to 4 places a side and 2 moments; at the paper's
    64 frames of 224 pixels all strides are the paper's. With channels 64 it has the paper's 12.3 M
    parameters without the answer's layer.

    Args:
        form: gives `(batch, frames, size, size, 3)` uint8.
        width: of the tokens.
        channels: of the first layer; all others follow.
        dropout: on the features.
    """

    kind: ClassVar[str] = "video"
    form: ClassVar[str] = "frames"

    def __init__(
        self, form: Frames, width: int, *, channels: int = 16, dropout: float = 0.1
    ) -> None:
        super().__init__()
        if channels < 8:
            raise UserError(f"channels={channels} is too small", expected="at least 8")
        self.normalise = Normalise()
        self.layers = inception(form.frames, form.size, channels)
        flat = inception(form.frames, form.size, channels, over_time=False)
        self.layers.load_state_dict(inflated(flat.state_dict(), self.layers.state_dict()))
        size = sum(_scaled(MODULES[-1][-1], channels)[i] for i in (0, 2, 4, 5))
        self.dropout = nn.Dropout(dropout)
        self.project = nn.Linear(size, width)

    def adapt(self, fields: Iterable[Field]) -> None:
        self.normalise.adapt(fields)

    def forward(self, field: Field) -> Tokens:
        """Field `(batch, frames, side, side, 3)` -> Tokens `(batch, moments, width)`."""
        return all_real(on_present(self._encode, field, self.training))

    def _encode(self, clips: Tensor) -> Tensor:
        maps = self.layers(self.normalise(clips).permute(0, 4, 1, 2, 3))
        moments = maps.mean((3, 4)).transpose(1, 2)
        tokens: Tensor = self.project(self.dropout(moments))
        return tokens


class Module(nn.Module):
    """Four branches beside each other, their channels joined.

    Args:
        before: channels that come in.
        sizes: as in MODULES.
        times: of the kernels of 3: 3, or 1 for a network of pictures.
    """

    def __init__(self, before: int, sizes: tuple[int, ...], times: int) -> None:
        super().__init__()
        one, narrow, wide, narrower, less, pooled = sizes
        self.branches = nn.ModuleList(
            [
                Convolution(before, one),
                nn.Sequential(Convolution(before, narrow), Convolution(narrow, wide, times, 3)),
                nn.Sequential(Convolution(before, narrower), Convolution(narrower, less, times, 3)),
                nn.Sequential(Around(times), Convolution(before, pooled)),
            ]
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([branch(x) for branch in self.branches], 1)


class Around(nn.Module):
    """The largest of every place's neighbourhood of 3, in time too if `times` is 3."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.pool = nn.MaxPool3d((times, 3, 3), stride=1, padding=(times // 2, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        pooled: Tensor = self.pool(x)
        return pooled


def inception(frames: int, side: int, channels: int, over_time: bool = True) -> nn.Sequential:
    """`(batch, 3, frames, side, side)` -> `(batch, 16 · channels, moments, side', side')`.

    Args:
        channels: of the first layer.
        over_time: False for the network of pictures: every kernel is 1 long in time.
    """
    strides, times = Strides(frames, side), 3 if over_time else 1
    first, second = channels, 3 * channels
    layers: list[nn.Module] = [
        Convolution(3, first, 7 if over_time else 1, 7, strides.halve(time=True)),
        Pool(strides.halve()),
        Convolution(first, first),
        Convolution(first, second, times, 3),
        Pool(strides.halve()),
    ]
    before = second
    for number, group in enumerate(MODULES):
        if number:
            layers.append(Pool(strides.halve(time=True), kernel=3 if number == 1 else 2))
        for sizes in group:
            own = _scaled(sizes, channels)
            layers.append(Module(before, own, times))
            before = own[0] + own[2] + own[4] + own[5]
    return nn.Sequential(*layers)


def inflated(flat: Mapping[str, Tensor], like: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights of a network of pictures for one of clips: repeated over time, and divided by it.

    Args:
        flat: kernels `(out, in, 1, side, side)` or as in `like`.
        like: kernels `(out, in, times, side, side)`.
    """
    found = {}
    for name, wanted in like.items():
        value = flat[name]
        if value.shape != wanted.shape:
            value = value.expand(wanted.shape) / wanted.shape[2]
        found[name] = value
    return found


def _scaled(sizes: tuple[int, ...], channels: int) -> tuple[int, ...]:
    return tuple(max(1, size * channels // PAPER) for size in sizes)
