"""Pictures for decoders that look at pictures by themselves: as they are, or as they were seen."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from polymodal.base.errors import UserError
from polymodal.modalities.image.forms._form import PictureForm
from polymodal.nn.looks import Looker, told
from polymodal.nn.tokens import Look
from polymodal.table.media import Media

Array = np.ndarray[Any, Any]

# Bytes that say a picture's height and width, before its pixels.
HEAD = 4
SMALLEST, LARGEST = 8, 8192
# Bytes, before what was seen, that say how often each byte stands in the picture: 256 of float32.
COUNTS = 4 * 256
# Pictures that a held model looks at together.
BATCH = 8


class Whole(PictureForm):
    """A picture's own pixels, whatever its size: uint8 `(4 + 3 * height * width,)`.

    The first bytes are height and width, two each, the smaller part first; then pixels, line by
    line. Where a model that does not learn has `seen` the picture, uint8 `(n,)`: how often each of
    these bytes stands there, float32 `(256,)`; then what `nn.looks` keeps of what it sees, float32
    `(tokens, width)`, computed once.

    Args:
        longest: pixels of the longer side at most; larger pictures are brought to it. What a model
            needs of a picture it cuts itself, and memory is saved here.
        seen_by: path of the vision-language model that looks at the pictures beforehand; None: none
            does, and the decoder looks anew whenever it reads one.
    """

    dtype = "uint8"
    ragged = True
    version = 2

    def __init__(self, *, longest: int = 1024, seen_by: str | None = None) -> None:
        if not SMALLEST <= longest <= LARGEST:
            raise UserError(
                f"longest={longest} is out of range",
                expected=f"{SMALLEST} to {LARGEST} pixels",
                do="give what the model itself brings pictures to at most",
            )
        self.longest, self.seen_by = longest, seen_by
        self.looker = None if seen_by is None else Looker(seen_by)
        # A large model is not sent to other processes.
        self.parallel = self.looker is None

    def open(self) -> None:
        if self.looker is not None:
            self.looker.open()

    @property
    def fingerprint(self) -> str:
        """Depends on what the model's files hold, not on where they lie."""
        if self.looker is None:
            return super().fingerprint
        own = [type(self).__module__, self.version, self.longest, self.state]
        described = json.dumps([*own, self.looker.fingerprint])
        return hashlib.blake2b(described.encode(), digest_size=16).hexdigest()

    def encode(self, cell: Media) -> Array:
        return self.encode_many([cell])[0]

    def encode_many(self, cells: Sequence[Media]) -> list[Array]:
        """Several pictures, of a held model BATCH at once."""
        if self.looker is None:
            return [self._spelled(cell) for cell in cells]
        found = []
        for start in range(0, len(cells), BATCH):
            spelled = [self._spelled(cell) for cell in cells[start : start + BATCH]]
            seen = self.looker.see([_pixels(one) for one in spelled])
            for one, look in zip(spelled, seen, strict=True):
                counts = np.bincount(one, minlength=256).astype("<f4").view(np.uint8)
                found.append(np.concatenate([counts, look]))
        return found

    def decode(self, array: Array) -> Array | Look:
        """The picture `(height, width, 3)` of an array, padded or not, or what was seen in it."""
        return _pixels(array) if self.looker is None else told(array[COUNTS:])

    def _spelled(self, cell: Media) -> Array:
        picture = self.read(cell, self.longest)
        if max(picture.size) > self.longest:
            picture.thumbnail((self.longest, self.longest))
        array = np.asarray(picture, np.uint8)
        head = np.array(array.shape[:2], "<u2").view(np.uint8)
        return np.concatenate([head, array.reshape(-1)])


def _pixels(array: Array) -> Array:
    height, width = np.ascontiguousarray(array[:HEAD]).view("<u2").astype(int)
    return array[HEAD : HEAD + 3 * height * width].reshape(height, width, 3)
