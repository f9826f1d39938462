"""What convolutional encoders of clips share: convolutions over time and space, and their strides.

Beyond the first and the last frame that frame goes on, so that a clip of one picture is what that
picture is at every moment; beyond a frame's edges there are zeros.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

# A map is halved as long as a side has more places, and time as long as there are more moments:
# clips are small, and what is left must have a place or two to be normalised over.
LEAST_SIDE, LEAST_MOMENTS = 4, 2


class Convolution(nn.Module):
    """A convolution of `(batch, channels, time, side, side)` with batch normalisation.

    Args:
        before, after: channels.
        times, side: of the kernel; odd.
        stride: in time and in space.
        active: whether what is negative becomes zero.
    """

    def __init__(
        self,
        before: int,
        after: int,
        times: int = 1,
        side: int = 1,
        stride: tuple[int, int] = (1, 1),
        active: bool = True,
    ) -> None:
        super().__init__()
        self.times, self.active = times, active
        self.convolve = nn.Conv3d(
            before,
            after,
            (times, side, side),
            stride=(stride[0], stride[1], stride[1]),
            padding=(0, side // 2, side // 2),
            bias=False,
        )
        self.norm = nn.BatchNorm3d(after)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.convolve(held(x, self.times // 2)))
        return F.relu(x) if self.active else x


class Pool(nn.Module):
    """The largest of each window, 3 long where `stride` is 2; at least one place a window."""

    def __init__(self, stride: tuple[int, int], kernel: int = 3) -> None:
        super().__init__()
        times, side = (kernel if one > 1 else 1 for one in stride)
        self.times = times
        self.pool = nn.MaxPool3d(
            (times, side, side),
            stride=(stride[0], stride[1], stride[1]),
            padding=(0, (side - 1) // 2, (side - 1) // 2),
            ceil_mode=kernel % 2 == 0,
        )

    def forward(self, x: Tensor) -> Tensor:
        pooled: Tensor = self.pool(held(x, (self.times - 1) // 2))
        return pooled


class Strides:
    """How far maps are halved, step by step.

    Attributes:
        side: of the maps, in pixels.
        moments: in time.
    """

    def __init__(self, moments: int, side: int) -> None:
        self.moments, self.side = moments, side

    def halve(self, time: bool = False, space: bool = True) -> tuple[int, int]:
        """The next stride in time and in space: 2 where wanted and enough is left, else 1."""
        times = 2 if time and self.moments > LEAST_MOMENTS else 1
        places = 2 if space and self.side > LEAST_SIDE else 1
        self.moments, self.side = -(-self.moments // times), -(-self.side // places)
        return times, places


def held(x: Tensor, beyond: int) -> Tensor:
    """`(batch, channels, time, side, side)` with its first and last moment `beyond` times more."""
    return F.pad(x, (0, 0, 0, 0, beyond, beyond), mode="replicate") if beyond else x
