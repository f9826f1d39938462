"""Training pictures moved, turned, lit and partly covered a little."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from polymodal.base.errors import UserError
from polymodal.contract.batch import Field


class Augment:
    """Random changes that leave a picture's meaning alone; each row has its own.

    No mirroring by default: it changes digits, letters, "left of" and organs' sides.

    Args:
        shift: farthest move, as a share of the side, in each direction.
        scale: largest change of size, as a share; width and height change by nearly the same.
        rotate: largest turn, in degrees.
        light: largest change of brightness (added, as a share of the full range) and of contrast
            (as a share).
        erase: chance that a rectangle of 2 to 15 % of the area is covered with the picture's mean
            colour (Zhong et al., "Random erasing data augmentation", AAAI 2020).
        flip: whether to mirror every second picture, left to right.

    Attributes:
        still: options under which nothing is moved or hidden.
    """

    still: ClassVar[Mapping[str, Any]] = {
        **dict.fromkeys(("shift", "scale", "rotate", "erase"), 0.0),
        "flip": False,
    }

    def __init__(
        self,
        *,
        shift: float = 0.1,
        scale: float = 0.15,
        rotate: float = 12.0,
        light: float = 0.2,
        erase: float = 0.25,
        flip: bool = False,
    ) -> None:
        shares = {"shift": shift, "scale": scale, "light": light, "erase": erase}
        for name, value in shares.items():
            if not 0 <= value <= 1:
                raise UserError(f"{name}={value} is out of range", expected="a number from 0 to 1")
        if not 0 <= rotate <= 180:
            raise UserError(f"rotate={rotate} is out of range", expected="0 to 180 degrees")
        self.shift = shift
        self.scale = scale
        self.rotate = rotate
        self.light = light
        self.erase = erase
        self.flip = flip

    def __call__(self, field: Field, generator: torch.Generator) -> Field:
        """Change the present rows of a uint8 field `(batch, side, side, channels)`.

        The channels of a row are changed alike, so a clip may be given as one picture of many.
        What a frozen model has made of pictures, `(batch, ...)` of floats, stays as it is, and so
        do whole pictures, each of its own size.
        """
        if field.data.is_floating_point() or field.mask is not None:
            return field
        rows = len(field.data)
        pixels = field.data.permute(0, 3, 1, 2).float()
        pixels = self._move(pixels, _uniform((rows, 6), generator, pixels.device))
        pixels = self._relight(pixels, _uniform((rows, 2), generator, pixels.device))
        pixels = self._cover(pixels, _uniform((rows, 5), generator, pixels.device))
        changed = pixels.round().clamp(0, 255).to(field.data.dtype).permute(0, 2, 3, 1)
        present = field.present.view(-1, 1, 1, 1)
        return Field(torch.where(present, changed, field.data), field.mask, field.present)

    def _move(self, pixels: Tensor, draw: Tensor) -> Tensor:
        """Shift, scale, turn and mirror, in one resampling; edge pixels continue outwards."""
        angle = draw[:, 0] * math.radians(self.rotate)
        size = torch.exp2(draw[:, 1] * math.log2(1 + self.scale))
        stretch = torch.exp2(draw[:, 2] * 0.25 * math.log2(1 + self.scale))
        mirror = torch.where((draw[:, 3] > 0) & self.flip, -1.0, 1.0)
        cos, sin = angle.cos() * size, angle.sin() * size
        # Coordinates run from -1 to 1, so a move by a share of the side is twice that.
        across, down = 2 * self.shift * draw[:, 4], 2 * self.shift * draw[:, 5]
        matrix = torch.stack(
            [cos * stretch * mirror, -sin, across, sin * mirror, cos / stretch, down], 1
        )
        grid = F.affine_grid(matrix.view(-1, 2, 3), list(pixels.shape), align_corners=False)
        return F.grid_sample(pixels, grid, padding_mode="border", align_corners=False)

    def _relight(self, pixels: Tensor, draw: Tensor) -> Tensor:
        brightness, contrast = (self.light * draw.view(-1, 2, 1, 1, 1)).unbind(1)
        mean = pixels.mean((1, 2, 3), keepdim=True)
        return (pixels - mean) * (1 + contrast) + mean + 255 * brightness

    def _cover(self, pixels: Tensor, draw: Tensor) -> Tensor:
        """Rectangles with sides in a ratio from 1:2 to 2:1, wholly or partly inside."""
        draw = (draw + 1) / 2
        area = 0.02 + 0.13 * draw[:, 1]
        ratio = torch.exp2(2 * draw[:, 2] - 1).sqrt()
        height, width = (area.sqrt() * ratio) / 2, (area.sqrt() / ratio) / 2
        steps = (torch.arange(pixels.shape[-1], device=pixels.device) + 0.5) / pixels.shape[-1]
        tall = (steps - draw[:, 3:4]).abs() <= height[:, None]
        wide = (steps - draw[:, 4:5]).abs() <= width[:, None]
        chosen = (draw[:, 0] < self.erase).view(-1, 1, 1)
        covered = (tall[:, :, None] & wide[:, None, :] & chosen).unsqueeze(1)
        return torch.where(covered, pixels.mean((2, 3), keepdim=True), pixels)


def _uniform(shape: tuple[int, int], generator: torch.Generator, device: torch.device) -> Tensor:
    """Numbers from -1 to 1, drawn where the generator lives."""
    drawn = torch.rand(shape, generator=generator, device=generator.device)
    return (2 * drawn - 1).to(device)
