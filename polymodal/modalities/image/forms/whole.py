"""Pictures as they are: for decoders that look at pictures by themselves."""

from __future__ import annotations

from typing import Any

import numpy as np

from polymodal.base.errors import UserError
from polymodal.modalities.image.forms._form import PictureForm
from polymodal.table.media import Media

# Bytes that say a picture's height and width, before its pixels.
HEAD = 4
SMALLEST, LARGEST = 8, 8192


class Whole(PictureForm):
    """A picture's own pixels, whatever its size: uint8 `(4 + 3 * height * width,)`.

    The first bytes are height and width, two each, the smaller part first; then pixels, line by
    line.

    Args:
        longest: pixels of the longer side at most; larger pictures are brought to it. What a model
            needs of a picture it cuts itself, and memory is saved here.
    """

    dtype = "uint8"
    ragged = True

    def __init__(self, *, longest: int = 1024) -> None:
        if not SMALLEST <= longest <= LARGEST:
            raise UserError(
                f"longest={longest} is out of range",
                expected=f"{SMALLEST} to {LARGEST} pixels",
                do="give what the model itself brings pictures to at most",
            )
        self.longest = longest

    def encode(self, cell: Media) -> np.ndarray[Any, Any]:
        picture = self.read(cell, self.longest)
        if max(picture.size) > self.longest:
            picture.thumbnail((self.longest, self.longest))
        array = np.asarray(picture, np.uint8)
        head = np.array(array.shape[:2], "<u2").view(np.uint8)
        return np.concatenate([head, array.reshape(-1)])

    def decode(self, array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """The picture `(height, width, 3)` of an array, padded or not."""
        height, width = np.ascontiguousarray(array[:HEAD]).view("<u2").astype(int)
        return array[HEAD : HEAD + 3 * height * width].reshape(height, width, 3)
