"""A text for a pretrained model: its pieces, or a frozen model's outputs."""

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
from polymodal.modalities.text.forms import _pieces
from polymodal.modalities.text.hashing import check_least
from polymodal.nn import pretrained

TEXT = pretrained.Half("text", "input_ids", "text_model")
POOLS = ("mean", "words")
# Pieces a batch, padding included: enough to keep a processor busy, little memory.
BATCH = 4096


class Pretrained(Form):
    """What a pretrained model is given of a text, or what it makes of it if it is frozen.

    A model that is trained on is given the pieces, int32 `(pieces, 3)`: tokenizer id, number of its
    word, shape id of its word (`_pieces.encode`). A frozen one's outputs are computed once and
    kept: float32 `(1, width)`, the mean over its pieces, or `(words, width)`.

    The mean is over all pieces, the tokenizer's own marks included, as sentence-transformers pools
    (Reimers and Gurevych 2019, "Sentence-BERT"); a word's vector is the mean over its pieces.

    Args:
        path: folder or hub id of the model.
        tune: whether the model is trained on.
        limit: pieces after this one are cut; lowered to what the model takes.
        pool: of a frozen model, "mean" for one vector a text, "words" for one a word.
    """

    kind = "text"
    backbone = "weights"
    ragged = True

    def __init__(
        self, *, path: str, tune: bool = False, limit: int = 512, pool: str = "mean"
    ) -> None:
        if pool not in POOLS:
            raise UserError(f"There is no pooling '{pool}'", expected=" or ".join(POOLS))
        if tune and pool != POOLS[0]:
            raise UserError(
                "A model that is trained further cannot be pooled beforehand",
                expected="no 'pool', or a frozen model",
                got=f"pool: {pool}",
            )
        check_least("limit", limit, 4)
        self.path, self.tune, self.pool = path, tune, pool
        self.limit = min(limit, pretrained.positions(path, TEXT))
        self.dtype = "int32" if tune else "float32"
        # A large model is not sent to other processes.
        self.parallel = tune
        # The weights of one that is trained on are the encoder's, which a run keeps itself.
        self.backbone = "settings" if tune else "weights"

    @property
    def fingerprint(self) -> str:
        """Depends on what the model's files hold, not on where they lie."""
        how = "pieces" if self.tune else self.pool
        described = [type(self).__module__, self.version, self.limit, how, self._digest]
        return hashlib.blake2b(json.dumps(described).encode(), digest_size=16).hexdigest()

    def encode(self, cell: Any) -> np.ndarray[Any, Any]:
        """A string (words cut at white space) or a list of words -> its array."""
        return self._pieces(cell) if self.tune else self.encode_many([cell])[0]

    def encode_many(self, cells: Sequence[Any]) -> list[np.ndarray[Any, Any]]:
        """Several texts, those of like length together: the same values as one by one."""
        texts = [self._pieces(cell) for cell in cells]
        if self.tune:
            return texts
        encoded: dict[int, np.ndarray[Any, Any]] = {}
        for batch in _batches([len(text) for text in texts]):
            outputs = self._outputs([texts[i] for i in batch])
            for i, output in zip(batch, outputs, strict=True):
                encoded[i] = self._pooled(output[: len(texts[i])], texts[i][:, 1])
        return [encoded[i] for i in range(len(cells))]

    def was_truncated(self, cell: Any) -> bool:
        return len(_pieces.uncut(cell, self._tokenizer)) > self.limit

    def _pieces(self, cell: Any) -> np.ndarray[Any, Any]:
        return _pieces.encode(cell, self._tokenizer, self.limit)

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
        return pretrained.digest(self.path, weights=not self.tune)

    @cached_property
    def _tokenizer(self) -> Any:
        return pretrained.tokenizer(self.path)

    @cached_property
    def _model(self) -> nn.Module:
        model: nn.Module = pretrained.load(self.path, TEXT)
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
