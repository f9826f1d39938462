"""A picture as a pretrained model's own processor cuts it."""

from __future__ import annotations

import hashlib
import json
from functools import cached_property
from typing import Any

import numpy as np

from polymodal.contract.form import Form
from polymodal.modalities.image import picture as _picture
from polymodal.nn import pretrained
from polymodal.table.media import Media


class Resized(Form):
    """A picture as uint8 `(height, width, 3)`, resized and cropped as the model wants it.

    The model's normalisation is left to the encoder, so that pictures are kept as bytes.

    Args:
        path: folder or hub id of the model.
    """

    kind = "image"
    dtype = "uint8"
    ragged = False

    def __init__(self, *, path: str) -> None:
        self.path = path

    @property
    def fingerprint(self) -> str:
        """Depends on what the model's settings say, not on where they lie."""
        digest = pretrained.digest(self.path, weights=False)
        described = [type(self).__module__, self.version, digest]
        return hashlib.blake2b(json.dumps(described).encode(), digest_size=16).hexdigest()

    def encode(self, cell: Media) -> np.ndarray[Any, Any]:
        """A Media -> uint8 `(height, width, 3)`."""
        processor = self._processor
        picture = _picture.read(cell, max(dict(processor.size).values()))
        processed = processor(picture, do_rescale=False, do_normalize=False, return_tensors="np")
        return np.asarray(processed["pixel_values"][0], np.uint8).transpose(1, 2, 0)

    @cached_property
    def _processor(self) -> Any:
        return pretrained.image_processor(self.path)
