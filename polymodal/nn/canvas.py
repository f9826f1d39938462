"""Pictures to a grid of vectors by convolutions, and back."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from polymodal.base.errors import UserError

# Channels that are normalised together.
GROUPED = 8


def check_grid(side: int, patch: int, channels: int, depth: int) -> None:
    """UserError unless pictures of a side can be cut into patches, by such convolutions."""
    if patch < 2 or patch % 2 or patch > side or side % patch:
        raise UserError(
            f"Pictures of {side} pixels a side cannot be cut into patches of {patch}",
            expected="an even number that divides the side",
            do="change `patch` or `size`",
        )
    if channels < GROUPED or channels % GROUPED or depth < 1:
        raise UserError(
            f"channels={channels}, depth={depth} make no convolutions",
            expected=f"channels a multiple of {GROUPED}, depth 1 or more",
        )


class Block(nn.Module):
    """Two convolutions beside a direct way, each of normalised maps; no row sees another."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.GroupNorm(channels // GROUPED, channels),
            nn.SiLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.GroupNorm(channels // GROUPED, channels),
            nn.SiLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
        )

    def forward(self, maps: Tensor) -> Tensor:
        out: Tensor = maps + self.layers(maps)
        return out


class Gridded(nn.Module):
    """Pictures to one vector a patch, each of which sees its neighbours too.

    Args:
        inputs: channels that come in.
        patch: side of a patch in pixels.
        channels: of the vectors; the twice finer maps before have half as many.
        depth: blocks at either fineness.
    """

    def __init__(self, inputs: int, patch: int, channels: int, depth: int) -> None:
        super().__init__()
        fine = max(GROUPED, channels // 2 // GROUPED * GROUPED)
        half = patch // 2
        self.layers = nn.Sequential(
            nn.PixelUnshuffle(half),
            nn.Conv2d(inputs * half**2, fine, 3, padding=1),
            *(Block(fine) for _ in range(depth)),
            nn.Conv2d(fine, channels, 4, stride=2, padding=1),
            *(Block(channels) for _ in range(depth)),
            nn.GroupNorm(channels // GROUPED, channels),
            nn.SiLU(),
        )

    def forward(self, pixels: Tensor) -> Tensor:
        """`(n, side, side, inputs)` -> `(n, (side / patch)², channels)`, row by row."""
        out: Tensor = self.layers(pixels.permute(0, 3, 1, 2))
        return out.flatten(2).transpose(1, 2)


class Canvas(nn.Module):
    """A grid of vectors to a picture: the way of `Gridded` backwards.

    Args:
        size: numbers of a vector.
        side: of the grid.
        outputs: channels that go out.
        patch, channels, depth: as of `Gridded`.
    """

    def __init__(
        self, size: int, side: int, outputs: int, patch: int, channels: int, depth: int
    ) -> None:
        super().__init__()
        self.side = side
        fine, half = max(GROUPED, channels // 2 // GROUPED * GROUPED), patch // 2
        self.enter = nn.Conv2d(size, channels, 3, padding=1)
        self.coarse = nn.Sequential(*(Block(channels) for _ in range(depth)))
        self.finer = nn.Conv2d(channels, 4 * fine, 3, padding=1)
        self.layers = nn.Sequential(
            *(Block(fine) for _ in range(depth)),
            nn.GroupNorm(fine // GROUPED, fine),
            nn.SiLU(),
            nn.Conv2d(fine, outputs * half**2, 3, padding=1),
            nn.PixelShuffle(half),
        )

    def forward(self, vectors: Tensor) -> Tensor:
        """`(n, side², size)` -> `(n, side · patch, side · patch, outputs)`."""
        maps = vectors.transpose(1, 2).reshape(len(vectors), -1, self.side, self.side)
        maps = self.coarse(self.enter(maps))
        out: Tensor = self.layers(F.pixel_shuffle(self.finer(maps), 2))
        return out.permute(0, 2, 3, 1)
