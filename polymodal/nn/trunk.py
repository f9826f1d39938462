"""What the picture and video encoders share: pixels normalised, and a convolutional trunk."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from polymodal.base.errors import UserError
from polymodal.contract.batch import Field

# Side of a map that is fine enough to tell what a picture shows.
MOST = 6


class Normalise(nn.Module):
    """uint8 pixels `(..., 3)` to numbers of mean 0 and deviation 1 over the training pictures."""

    mean: Tensor
    deviation: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.full((3,), 127.5))
        self.register_buffer("deviation", torch.full((3,), 64.0))

    def adapt(self, fields: Iterable[Field]) -> None:
        """Take the mean and deviation of each colour over all present rows."""
        count, total, squares = 0, torch.zeros(3).double(), torch.zeros(3).double()
        for field in fields:
            pixels = field.data[field.present].reshape(-1, 3).double()
            count += len(pixels)
            total += pixels.sum(0)
            squares += (pixels**2).sum(0)
        if count:
            mean = total / count
            self.mean.copy_(mean)
            # Pictures of one colour throughout have no deviation to divide by.
            self.deviation.copy_((squares / count - mean**2).clamp(min=1).sqrt())

    def forward(self, pixels: Tensor) -> Tensor:
        return (pixels.to(self.mean.dtype) - self.mean) / self.deviation


class Patches(nn.Module):
    """Normalised pixels `(n, side, side, 3)` to one linear token a square patch, with positions.

    Returns `(n, count, width)`, row by row, where count is ceil(side / patch)². What sticks out
    at the right and bottom is filled with zeros, the mean colour.
    """

    def __init__(self, side: int, patch: int, width: int) -> None:
        super().__init__()
        self.margin = -side % patch
        self.embed = nn.Conv2d(3, width, patch, stride=patch)
        self.positions = nn.Parameter(0.02 * torch.randn((-(-side // patch)) ** 2, width))

    def forward(self, pixels: Tensor) -> Tensor:
        padded = F.pad(pixels.permute(0, 3, 1, 2), (0, self.margin, 0, self.margin))
        tokens: Tensor = self.embed(padded).flatten(2).transpose(1, 2) + self.positions
        return tokens


class Trunk(nn.Module):
    """A small residual network (He et al., CVPR 2016) for pictures from 8 to some 200 pixels.

    A 5 x 5 stem halves the side; stages of residual blocks, each halving it again, follow until
    `most` or fewer are left. It is batch-normalised: running statistics at evaluation, so that rows
    do not mix, and the caller keeps blank rows out in training.

    Args:
        inputs: channels that come in.
        side: of the pictures, in pixels.
        channels: of the last, coarsest stage; each finer one has half as many, so all cost alike.
        depth: residual blocks a stage.
        most: side of the map that goes out at most.

    Attributes:
        side: of the map that goes out.
    """

    def __init__(self, inputs: int, side: int, channels: int, depth: int, most: int = MOST) -> None:
        super().__init__()
        for name, value, least in (
            ("channels", channels, 8),
            ("depth", depth, 1),
            ("side", most, 1),
        ):
            if value < least:
                raise UserError(f"{name}={value} is too small", expected=f"at least {least}")
        sides = [-(-side // 2)]
        while sides[-1] > most:
            sides.append(-(-sides[-1] // 2))
        widths = [max(8, channels >> i) for i in reversed(range(len(sides)))]
        layers: list[nn.Module] = [_convolution(inputs, widths[0], size=5, stride=2), nn.ReLU()]
        layers += [Residual(widths[0]) for _ in range(depth)]
        for before, after in pairwise(widths):
            layers += [nn.MaxPool2d(2, ceil_mode=True), _convolution(before, after), nn.ReLU()]
            layers += [Residual(after) for _ in range(depth)]
        self.layers = nn.Sequential(*layers)
        self.side = sides[-1]

    def forward(self, pixels: Tensor) -> Tensor:
        """`(n, side, side, inputs)` -> `(n, channels, self.side, self.side)`.

        Channels last is how pixels lie in memory, and the layout that convolutions are fastest in.
        """
        out: Tensor = self.layers(pixels.permute(0, 3, 1, 2))
        return out


class Residual(nn.Module):
    """Two convolutions beside a direct way."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = _convolution(channels, channels)
        self.second = _convolution(channels, channels)

    def forward(self, maps: Tensor) -> Tensor:
        return F.relu(maps + self.second(F.relu(self.first(maps))))


def _convolution(before: int, after: int, size: int = 3, stride: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(before, after, size, stride, size // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(after))


def on_present(encode: Callable[[Tensor], Tensor], field: Field, training: bool) -> Tensor:
    """`encode(field.data)`; in training only the present rows are run, and the rest are zeros.

    The pictures that rows do not have must not count in batch statistics.
    """
    if not training or bool(field.present.all()):
        return encode(field.data)
    encoded = encode(field.data[field.present])
    out = encoded.new_zeros(len(field.data), *encoded.shape[1:])
    out[field.present] = encoded
    return out
