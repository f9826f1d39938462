"""Videos as a few frames, spread evenly over the clip."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import numpy as np

from polymodal.base.errors import UserError
from polymodal.contract.form import Patches
from polymodal.modalities.image import picture as _picture
from polymodal.modalities.video.decode import choose
from polymodal.modalities.video.forms._form import ClipForm
from polymodal.table.media import Media

# Patches along a side and in time, where parts are hidden.
GRID, TIMES = 8, 4


class Frames(ClipForm):
    """A video or animation to uint8 `(frames, size, size, 3)`.

    The clip is cut into `frames` parts with as many frames each and the middle one of each is
    taken; one that is shorter ends in copies of its last frame. Sound is ignored.

    Args:
        frames: how many.
        size: side in pixels.
        resize: "pad" keeps the aspect ratio, "stretch" ignores it.
    """

    dtype = "uint8"
    timed = True
    version = 2

    def __init__(self, *, frames: int = 8, size: int = 64, resize: str = "pad") -> None:
        _picture.check_options(size, resize)
        if not 1 <= frames <= 256:
            raise UserError(f"frames={frames} is out of range", expected="1 to 256")
        self.frames = frames
        self.size = size
        self.resize = resize

    @staticmethod
    def suggest(cells: Iterable[Media], *, largest: int = 64) -> dict[str, Any]:
        """Options that suit a sample of the clips, from one frame of each; see `Pixels.suggest`."""
        shapes = []
        for cell in cells:
            with suppress(UserError):
                shapes += [frame.size for frame in choose(cell, 1)]
        return _picture.suggest(shapes, largest)

    @property
    def patches(self) -> Patches:
        """Tong et al. 2022, "VideoMAE": tubes, nine of ten hidden."""
        side = max(1, self.size // GRID)
        steps = max(1, self.frames // TIMES)
        return Patches((steps, side, side), channels=3, share=0.9, tube=True)

    def encode(self, cell: Media) -> np.ndarray[Any, Any]:
        chosen = [
            _picture.square(frame, self.size, self.resize)
            for frame in self.choose(cell, self.frames)
        ]
        if not chosen:
            raise _picture.broken(cell.label, EOFError("no frame could be decoded"))
        return np.stack(chosen + [chosen[-1]] * (self.frames - len(chosen)))
