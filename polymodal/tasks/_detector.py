"""A network that tells one box at each place of a grid over a picture."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from polymodal.contract.batch import Decided, Field, Fused, Tokens
from polymodal.nn.attention import Block, heads_of

# How likely a class is of a place before anything is learned (RetinaNet's).
PRIOR = 0.01


class Detector(nn.Module):
    """A head that tells one box at each place of a grid: what of, and where.

    Each place begins with what the picture's tokens say there, reads the tokens of all modalities
    and what the other places have found, and tells a class, and a box by how it differs from the
    place ("Anchor DETR", Wang et al. 2022, arXiv 2109.07107). Its output is `classes (batch, grid²,
    classes)` logits and `places (batch, grid², 4)`: middle and sides, as shares.

    Args:
        picture: the modality that boxes are in.
        grid: places along each side.
        depth: blocks in which places read.
        classes: how many.
        usual: sides of a usual box, as shares.
    """

    def __init__(
        self,
        width: int,
        picture: str,
        grid: int,
        depth: int,
        classes: int,
        usual: Sequence[float],
        dropout: float,
    ) -> None:
        super().__init__()
        self.width, self.picture, self.grid = width, picture, grid
        self.norm = nn.LayerNorm(width)
        self.places, self.turns = nn.Linear(2 * width, width), nn.Linear(width, width)
        self.context = nn.Linear(width, width)
        self.blocks = nn.ModuleList(
            Block(width, heads_of(width), dropout, cross=True) for _ in range(depth)
        )
        self.last = nn.LayerNorm(width)
        self.classify = nn.Linear(width, classes)
        self.box = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, 4))
        nn.init.constant_(self.classify.bias, math.log(PRIOR / (1 - PRIOR)))
        last = self.box[-1]
        assert isinstance(last, nn.Linear)
        nn.init.zeros_(last.weight)
        with torch.no_grad():
            last.bias.copy_(torch.tensor([0.0, 0.0, *(math.log(s / (1 - s)) for s in usual)]))

    def forward(self, fused: Fused, target: Field | None = None) -> Decided:
        points = middles(self.grid).to(fused.pooled)
        here = self.places(sines(points, self.width))
        values, mask = self._read(fused)
        asked = self._shown(fused.tokens.get(self.picture), fused.pooled)
        asked = asked + here + self.context(fused.pooled).unsqueeze(1)
        everywhere = torch.ones(asked.shape[:2], dtype=torch.bool, device=asked.device)
        for block in self.blocks:
            asked = block(asked, everywhere, values, mask)
        found = self.last(asked)
        # A share in half precision is as coarse as pixels.
        differs = self.box(found).float()
        middle = (differs[..., :2] + torch.logit(middles(self.grid).to(differs))).sigmoid()
        return Decided(
            {
                "classes": self.classify(found),
                "places": torch.cat([middle, differs[..., 2:].sigmoid()], -1),
            }
        )

    def _read(self, fused: Fused) -> tuple[Tensor, Tensor]:
        """All modalities' tokens, each told where it is: `(batch, length, width)`, its mask."""
        values = []
        for name, tokens in fused.tokens.items():
            count = tokens.values.shape[1]
            side = math.isqrt(count)
            if name == self.picture and side * side == count:
                told = self.places(sines(middles(side).to(tokens.values), self.width))
            else:
                turns = torch.arange(count, device=tokens.values.device).unsqueeze(1)
                told = self.turns(sines(turns.to(tokens.values) / 100, self.width))
            values.append(self.norm(tokens.values) + told)
        mask = torch.cat([tokens.mask for tokens in fused.tokens.values()], 1)
        return torch.cat(values, 1), mask

    def _shown(self, tokens: Tokens | None, pooled: Tensor) -> Tensor:
        """What the picture's tokens say at each place `(batch, grid², width)`; zeros without."""
        if tokens is None:
            return pooled.new_zeros(len(pooled), self.grid**2, self.width)
        side = math.isqrt(tokens.values.shape[1])
        values = self.norm(tokens.values) * tokens.mask.unsqueeze(-1)
        if side * side != values.shape[1]:
            return values.mean(1, keepdim=True).expand(-1, self.grid**2, -1)
        maps = values.transpose(1, 2).reshape(len(values), -1, side, side)
        size = (self.grid, self.grid)
        finer = F.interpolate(maps, size, mode="bilinear", align_corners=False)
        return finer.flatten(2).transpose(1, 2)


def middles(grid: int) -> Tensor:
    """The middles `(grid², 2)` of a grid's places, line by line: across, down, as shares."""
    steps = (torch.arange(grid) + 0.5) / grid
    down, across = torch.meshgrid(steps, steps, indexing="ij")
    return torch.stack([across.flatten(), down.flatten()], 1)


def sines(points: Tensor, width: int) -> Tensor:
    """Shares `(n, axes)` as sines and cosines of many lengths of wave `(n, axes * width)`."""
    lengths = 2 * math.pi * 2 ** torch.linspace(0, 6, width // 2, device=points.device)
    angles = points.unsqueeze(-1) * lengths.to(points)
    waves = torch.cat([angles.sin(), angles.cos()], -1)
    return F.pad(waves, (0, width - waves.shape[-1])).flatten(1)
