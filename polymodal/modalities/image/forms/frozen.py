"""A picture to a frozen pretrained model's pooled output, computed once and cached."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import nn

from polymodal.base.devices import device, device_of
from polymodal.contract.form import Form
from polymodal.modalities.image import picture as _picture
from polymodal.nn import pretrained
from polymodal.table.media import Media

# Pictures that go through the model together.
BATCH = 32


class Frozen(Form):
    """A picture as float32 `(1, width)`: the mean over the model's last hidden state.

    Args:
        path: folder or hub id of the model.
    """

    kind = "image"
    dtype = "float32"
    ragged = False
    parallel = False

    def __init__(self, *, path: str) -> None:
        self.path = path

    @property
    def fingerprint(self) -> str:
        """Depends on what the model's files hold, not on where they lie."""
        digest = pretrained.digest(self.path, weights=True)
        described = [type(self).__module__, self.version, digest]
        return hashlib.blake2b(json.dumps(described).encode(), digest_size=16).hexdigest()

    def encode(self, cell: Media) -> np.ndarray[Any, Any]:
        """A Media -> float32 `(1, width)`."""
        return self.encode_many([cell])[0]

    @torch.inference_mode()
    def encode_many(self, cells: Sequence[Media]) -> list[np.ndarray[Any, Any]]:
        """Several pictures, BATCH at once."""
        found: list[np.ndarray[Any, Any]] = []
        size = max(dict(self._processor.size).values())
        for start in range(0, len(cells), BATCH):
            pictures = [_picture.read(cell, size) for cell in cells[start : start + BATCH]]
            inputs = self._processor(pictures, return_tensors="pt")["pixel_values"]
            inputs = inputs.to(device_of(self._model))
            hidden = pretrained.hidden(self._model, pixel_values=inputs)
            found += list(hidden.mean(1, keepdim=True).cpu().numpy())
        return found

    @cached_property
    def _processor(self) -> Any:
        return pretrained.image_processor(self.path)

    @cached_property
    def _model(self) -> nn.Module:
        model: nn.Module = pretrained.load(self.path, kind="image")
        return model.to(device())
