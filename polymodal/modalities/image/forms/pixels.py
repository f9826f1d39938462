"""Pictures as squares of RGB pixels."""

from __future__ import annotations

import io
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import numpy as np
from PIL import Image

from polymodal.base.errors import UserError
from polymodal.contract.form import Patches
from polymodal.modalities.image import picture as _picture
from polymodal.modalities.image.forms._form import PictureForm
from polymodal.table.media import Media

# Patches along a side, where parts are hidden.
GRID = 8


class Pixels(PictureForm):
    """A picture to uint8 `(size, size, 3)`, upright. What it is scaled by and, where it is
    transparent, put over, training pictures say.

    Args:
        size: side in pixels. Larger than the pictures themselves only costs time.
        resize: "pad" keeps the aspect ratio; "stretch" ignores it and uses every pixel, which is
            better where all pictures have the same one.
    """

    dtype = "uint8"
    version = 2

    def __init__(self, *, size: int = 64, resize: str = "pad") -> None:
        _picture.check_options(size, resize)
        self.size = size
        self.resize = resize
        self.shows_all = resize == "stretch"

    @staticmethod
    def suggest(cells: Iterable[Media], *, largest: int = 64) -> dict[str, Any]:
        """Options that suit a sample of the pictures; a larger `largest` costs its square.

        Cells that cannot be read are passed over: whoever prepares the table reports them.
        """
        shapes = []
        for cell in cells:
            with suppress(UserError):
                shapes.append(_picture.shape(cell))
        return _picture.suggest(shapes, largest)

    @property
    def patches(self) -> Patches:
        side = max(1, self.size // GRID)
        return Patches((side, side), channels=3)

    def encode(self, cell: Media) -> np.ndarray[Any, Any]:
        return _picture.square(self.read(cell, self.size), self.size, self.resize)

    def decode(self, array: np.ndarray[Any, Any]) -> bytes:
        """The pixels as a PNG file."""
        file = io.BytesIO()
        Image.fromarray(array).save(file, "PNG")
        return file.getvalue()
