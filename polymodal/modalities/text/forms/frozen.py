"""A text to a frozen pretrained model's outputs, computed once and cached."""

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
from polymodal.base.errors import UserError
from polymodal.contract.form import Form
from polymodal.modalities.text.forms import pieces
from polymodal.nn import pretrained

POOLS = ("mean", "words")
# Pieces a batch, padding included: enough to keep a processor busy, little memory.
BATCH = 4096


class Frozen(Form):
    """A text as float32 `(1, width)`, the mean over its pieces, or `(words, width)`.

    The mean is over all pieces, the tokenizer's own marks included, as sentence-transformers pools
    (Reimers and Gurevych 2019, "Sentence-BERT"); a word's vector is the mean over its pieces.

    Args:
        path: folder or hub id of the model.
        limit: pieces after this one are cut; lowered to what the model takes.
        pool: "mean" for one vector a text, "words" for one a word.
    """

    kind = "text"
    dtype = "float32"
    ragged = True
    parallel = False

    def __init__(self, *, path: str, limit: int = 512, pool: str = "mean") -> None:
        if pool not in POOLS:
            raise UserError(f"There is no pooling '{pool}'", expected=" or ".join(POOLS))
        self.path = path
        self.pool = pool
        self._pieces = pieces.Pieces(path=path, limit=limit)
        self.limit = self._pieces.limit

    @property
    def fingerprint(self) -> str:
        """Depends on what the model's files hold, not on where they lie."""
        described = [type(self).__module__, self.version, self.limit, self.pool, self._digest]
        return hashlib.blake2b(json.dumps(described).encode(), digest_size=16).hexdigest()

    def encode(self, cell: Any) -> np.ndarray[Any, Any]:
        """A string or a list of words -> float32 `(1, width)` or `(words, width)`."""
        return self.encode_many([cell])[0]

    def encode_many(self, cells: Sequence[Any]) -> list[np.ndarray[Any, Any]]:
        """Several texts, those of like length together: the same values as one by one."""
        texts = [self._pieces.encode(cell) for cell in cells]
        encoded: dict[int, np.ndarray[Any, Any]] = {}
        for batch in _batches([len(text) for text in texts]):
            outputs = self._outputs([texts[i] for i in batch])
            for i, output in zip(batch, outputs, strict=True):
                encoded[i] = self._pooled(output[: len(texts[i])], texts[i][:, 1])
        return [encoded[i] for i in range(len(cells))]

    def was_truncated(self, cell: Any) -> bool:
        return self._pieces.was_truncated(cell)

    @torch.inference_mode()
    def _outputs(self, texts: list[np.ndarray[Any, Any]]) -> np.ndarray[Any, Any]:
        """`(batch, longest, width)` outputs for texts' pieces."""
        # A model may not take a batch without a single piece.
        longest = max(1, *(len(text) for text in texts))
        ids = torch.zeros(len(texts), longest, dtype=torch.int64)
        mask = torch.zeros_like(ids)
        for i, text in enumerate(texts):
            ids[i, : len(text)] = torch.from_numpy(text[:, 0])
            mask[i, : max(1, len(text))] = 1
        place = device_of(self._model)
        inputs = {"input_ids": ids.to(place), "attention_mask": mask.to(place)}
        return pretrained.hidden(self._model, **inputs).cpu().numpy()

    def _pooled(
        self, values: np.ndarray[Any, Any], numbers: np.ndarray[Any, Any]
    ) -> np.ndarray[Any, Any]:
        """`(pieces, width)` and their words' numbers -> `(1, width)` or `(words, width)`."""
        if self.pool == "words":
            sums = np.zeros((numbers.max(initial=0) + 1, values.shape[1]), np.float32)
            np.add.at(sums, numbers, values)
            counts = np.bincount(numbers, minlength=len(sums))[:, None]
            return (sums / np.maximum(counts, 1)).astype(np.float32)[1:]
        return values.sum(0, keepdims=True) / np.float32(max(1, len(values)))

    @cached_property
    def _digest(self) -> str:
        return pretrained.digest(self.path, weights=True)

    @cached_property
    def _model(self) -> nn.Module:
        model: nn.Module = pretrained.load(self.path, kind="text")
        return model.to(device())


def _batches(lengths: list[int]) -> list[list[int]]:
    """Indices by length, in batches of at most BATCH positions once padded, or of one text."""
    found: list[list[int]] = []
    for i in sorted(range(len(lengths)), key=lengths.__getitem__):
        # Sorted, so this text is the longest of its batch so far.
        if not found or (len(found[-1]) + 1) * lengths[i] > BATCH:
            found.append([])
        found[-1].append(i)
    return found
