"""Pictures as fixed descriptors of shape and colour, for linear models and boosted trees."""

from __future__ import annotations

from typing import Any

import numpy as np

from polymodal.modalities.image import picture as _picture
from polymodal.modalities.image.forms._form import PictureForm
from polymodal.table.media import Media

SIDE = 64
ANGLES = 9
GRIDS = (8, 4)
THUMBNAIL = 8
LEVELS = 4


class Summary(PictureForm):
    """A picture to float32 `(977,)`, numbers between 0 and about 1 but for the last.

    In order: gradient orientations on an 8 x 8 and a 4 x 4 grid, 9 each (Dalal and Triggs,
    "Histograms of oriented gradients for human detection", CVPR 2005); a thumbnail of 8 x 8 RGB
    pixels; a joint colour histogram, 4 levels a channel; log2 of width over height.
    """

    dtype = "float32"
    version = 2

    def encode(self, cell: Media) -> np.ndarray[Any, Any]:
        picture = self.read(cell, SIDE)
        pixels = _picture.square(picture, SIDE, "stretch")
        return np.append(describe(pixels), aspect(picture.size)).astype(np.float32)


def describe(pixels: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """What `Summary` says of RGB pixels `(SIDE, SIDE, 3)`, but for their shape: `(976,)`."""
    energy = _energy(pixels)
    parts = [_gradients(energy, grid) for grid in GRIDS]
    thumbnail = pixels.reshape(THUMBNAIL, SIDE // THUMBNAIL, THUMBNAIL, -1, 3).mean((1, 3))
    return np.concatenate([*parts, thumbnail.ravel() / 255, _colours(pixels)])


def aspect(size: tuple[int, int]) -> float:
    """log2 of width over height."""
    return float(np.log2(size[0] / size[1]))


def _energy(pixels: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Gradient magnitude by orientation, `(ANGLES, side, side)`.

    Every pixel's gradient is that of its strongest channel and is shared out between the two
    nearest orientations. Square roots of brightness even out light and shade.
    """
    root = np.sqrt(pixels.astype(np.float32) / 255)
    padded = np.pad(root, ((1, 1), (1, 1), (0, 0)), mode="edge")
    across = padded[1:-1, 2:] - padded[1:-1, :-2]
    down = padded[2:, 1:-1] - padded[:-2, 1:-1]
    strongest = (across**2 + down**2).argmax(2)[:, :, None]
    across = np.take_along_axis(across, strongest, 2)[:, :, 0]
    down = np.take_along_axis(down, strongest, 2)[:, :, 0]
    magnitude = np.hypot(across, down)
    angle = np.arctan2(down, across) / np.pi % 1 * ANGLES
    lower = np.floor(angle)
    share = angle - lower
    y, x = np.indices(magnitude.shape)
    energy = np.zeros((ANGLES, *magnitude.shape), np.float32)
    # Rounding can bring an angle just below 0 up to ANGLES itself.
    first = lower.astype(int) % ANGLES
    energy[first, y, x] = magnitude * (1 - share)
    energy[(first + 1) % ANGLES, y, x] += magnitude * share
    return energy


def _gradients(energy: np.ndarray[Any, Any], grid: int) -> np.ndarray[Any, Any]:
    """Orientation histograms of `grid` x `grid` cells, contrast-normalised, `(grid² · ANGLES,)`.

    A pixel counts for the cells around it by its distance from their centres. Each cell is
    normalised by the four blocks of 2 x 2 cells it lies in, and the four are averaged.
    """
    centre = (np.arange(SIDE) + 0.5) / SIDE * grid - 0.5
    near = np.clip(1 - np.abs(centre - np.arange(grid)[:, None]), 0, None).astype(np.float32)
    cells = np.moveaxis(near @ energy @ near.T, 0, 2)
    squares = np.pad((cells**2).sum(2), 1, mode="edge")
    blocks = squares[1:, 1:] + squares[:-1, 1:] + squares[1:, :-1] + squares[:-1, :-1]
    # The constant keeps the faint noise of an empty cell from being blown up to full contrast.
    scale = 1 / np.sqrt(blocks + 0.01)
    around = (scale[1:, 1:], scale[:-1, 1:], scale[1:, :-1], scale[:-1, :-1])
    clipped = [np.minimum(cells * corner[:, :, None], 0.2) for corner in around]
    return np.sqrt(np.mean(clipped, axis=0)).ravel()


def _colours(pixels: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Square roots of the share of pixels of each colour, `(LEVELS³,)`."""
    level = pixels.reshape(-1, 3) // (256 // LEVELS)
    code = level @ np.array([LEVELS * LEVELS, LEVELS, 1], level.dtype)
    return np.sqrt(np.bincount(code, minlength=LEVELS**3) / len(code))
