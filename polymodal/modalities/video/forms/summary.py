"""Fixed descriptors of a clip, for linear models and boosted trees: its frames, and what moves."""

from __future__ import annotations

from typing import Any

import numpy as np

from polymodal.base.errors import UserError
from polymodal.modalities.image import picture as _picture
from polymodal.modalities.image.forms.summary import SIDE, aspect, describe
from polymodal.modalities.series.slices import slices
from polymodal.modalities.video.decode import spread
from polymodal.modalities.video.forms._form import ClipForm
from polymodal.table.media import Media

GREY = 32  # side of the grey frames that motion is measured on
ENERGY, FLOW = 8, 4  # cells a side, of how much changes and of where it goes
DESCRIBED = 8  # frames of those looked at: neighbours look alike
SLICES, PATH = 4, 8  # equal parts in time, of motion and of where it is


class Summary(ClipForm):
    """A clip to one vector, float32 `(3453,)`, from a few frames spread over it.

    In order: the descriptors of DESCRIBED of its frames (`image/summary`): their mean, deviation,
    and by how much the second half differs from the first; log2 of width over height. Then, of
    grey frames, in SLICES parts of time: how much changes from frame to frame on an 8 x 8 grid, how
    fast what moves goes right and down on a 4 x 4 grid (least squares on gradients; Lucas, Kanade,
    "An iterative image registration technique", IJCAI 1981), and the shift of the whole frame.
    Last, in PATH parts, where that lies which is not always there, and how far it is spread.

    Args:
        frames: how many frames motion is measured on.
    """

    dtype = "float32"
    version = 2

    def __init__(self, *, frames: int = 16) -> None:
        if not 2 <= frames <= 256:
            raise UserError(f"frames={frames} cannot show motion", expected="2 to 256")
        self.frames = frames

    def encode(self, cell: Media) -> np.ndarray[Any, Any]:
        shape, pixels = 0.0, []
        for frame in self.choose(cell, self.frames):
            shape = aspect(frame.size)
            pixels.append(_picture.square(frame, SIDE, "stretch"))
        if not pixels:
            raise _picture.broken(cell.label, EOFError("no frame could be decoded"))
        seen = np.stack([describe(pixels[i]) for i in spread(len(pixels), DESCRIBED)])
        early, late = slices(seen, 2)
        fold = (len(pixels), GREY, SIDE // GREY, GREY, SIDE // GREY, 3)
        grey = np.stack(pixels).reshape(fold).mean((2, 4, 5)) / 255
        parts = [seen.mean(0), seen.std(0), late - early, [shape], *_motion(grey), *_path(grey)]
        return np.concatenate([np.ravel(part) for part in parts]).astype(np.float32)


def _motion(grey: np.ndarray[Any, Any]) -> list[np.ndarray[Any, Any]]:
    """How much changes, where it goes, and how the whole frame shifts, in SLICES parts of time."""
    if len(grey) == 1:
        grey = grey.repeat(2, 0)
    change = np.diff(grey, axis=0)
    middle = (grey[1:] + grey[:-1]) / 2
    down, across = np.gradient(middle, axis=(1, 2))
    energy = _grid(np.abs(change), ENERGY)
    xx, yy, xy, xt, yt = (
        _grid(product, FLOW)
        for product in (across**2, down**2, across * down, across * change, down * change)
    )
    # A little of everything keeps still cells still.
    xx, yy = xx + 1e-3, yy + 1e-3
    area = xx * yy - xy**2
    flow = np.concatenate([(xy * yt - yy * xt) / area, (xy * xt - xx * yt) / area], 1)
    moved = np.concatenate([energy, flow, _shifts(grey)], 1)
    return [slices(moved, SLICES), flow.std(0), energy.std(0)]


def _grid(frames: np.ndarray[Any, Any], cells: int) -> np.ndarray[Any, Any]:
    """Means of frames `(n, GREY, GREY)` on a grid, `(n, cells²)`."""
    side = GREY // cells
    return frames.reshape(-1, cells, side, cells, side).mean((2, 4)).reshape(len(frames), -1)


def _shifts(grey: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """By what each frame lies right of and below the one before, in frames, `(n - 1, 2)`: the peak
    of their correlation."""
    spectrum = np.fft.fft2(grey - grey.mean((1, 2), keepdims=True))
    product = spectrum[1:] * spectrum[:-1].conj()
    peaks = np.fft.ifft2(product).real.reshape(len(product), -1).argmax(1)
    found = np.stack([peaks % GREY, peaks // GREY], 1) / GREY
    return np.where(found > 0.5, found - 1, found)


def _path(grey: np.ndarray[Any, Any]) -> list[np.ndarray[Any, Any]]:
    """Centre, spread and amount of what is not in the median frame, in PATH parts of time."""
    other = np.abs(grey - np.median(grey, 0))
    amount = other.mean((1, 2))
    place = np.linspace(-1, 1, GREY)
    # Where nothing moves, the middle.
    weight = other / (other.sum((1, 2), keepdims=True) + 1e-3 * GREY**2)
    x, y = weight.sum(1) @ place, weight.sum(2) @ place
    spread = np.sqrt(np.maximum(weight.sum(1) @ place**2 + weight.sum(2) @ place**2, 0))
    course = slices(np.stack([x, y, spread, amount], 1), PATH)
    return [course, course[-1] - course[0]]
