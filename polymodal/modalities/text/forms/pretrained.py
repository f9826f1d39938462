"""A text for a pretrained model: its pieces, or a frozen model's outputs."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from polymodal.base.errors import UserError
from polymodal.modalities._pretrained import PretrainedForm, batches
from polymodal.modalities.text.forms import _pieces
from polymodal.modalities.text.hashing import check_least
from polymodal.nn import pretrained, processors

TEXT = pretrained.Half("text", ("input_ids",), "text_model")
POOLS = ("mean", "words")
# Pieces a batch, padding included: enough to keep a processor busy, little memory.
BATCH = 4096


class Pretrained(PretrainedForm):
    """What a pretrained model is given of a text, or what it makes of it if it is frozen.

    A model that is trained on is given the pieces, int32 `(pieces, 3)`: tokenizer id, number of its
    word, shape id of its word (`_pieces.encode`). A frozen one's outputs are computed once and
    kept: float32 `(1, width)`, the mean over its pieces, or `(words, width)`.

    The mean is over all pieces, the tokenizer's own marks included, as sentence-transformers pools
    (Reimers and Gurevych 2019, "Sentence-BERT"); a word's vector is the mean over its pieces.

    Args:
        path: name of a package of weights, folder or hub id of the model.
        tune: whether the model is trained on.
        limit: pieces after this one are cut; lowered to what the model takes.
        pool: of a frozen model, "mean" for one vector a text, "words" for one a word.
    """

    kind = "text"
    ragged = True
    opens = ("_tokenizer",)

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
        super().__init__(path, tune)
        self.pool = pool
        self.limit = min(limit, pretrained.positions(path, TEXT))
        self.dtype = "int32" if tune else "float32"

    @property
    def size(self) -> int:
        """Width of the model's outputs."""
        return pretrained.width(self.path, TEXT)

    def encode(self, cell: Any) -> np.ndarray[Any, Any]:
        """A string (words cut at white space) or a list of words -> its array."""
        return self._pieces(cell) if self.tune else self.encode_many([cell])[0]

    def encode_many(self, cells: Sequence[Any]) -> list[np.ndarray[Any, Any]]:
        """Several texts, those of like length together: the same values as one by one."""
        texts = [self._pieces(cell) for cell in cells]
        if self.tune:
            return texts
        encoded: dict[int, np.ndarray[Any, Any]] = {}
        for batch in batches([len(text) for text in texts], BATCH):
            outputs = self._outputs([texts[i] for i in batch])
            for i, output in zip(batch, outputs, strict=True):
                encoded[i] = self._pooled(output[: len(texts[i])], texts[i][:, 1])
        return [encoded[i] for i in range(len(cells))]

    def was_truncated(self, cell: Any) -> bool:
        return len(_pieces.uncut(cell, self._tokenizer)) > self.limit

    def _pieces(self, cell: Any) -> np.ndarray[Any, Any]:
        return _pieces.encode(cell, self._tokenizer, self.limit)

    def _outputs(self, texts: list[np.ndarray[Any, Any]]) -> np.ndarray[Any, Any]:
        """`(batch, longest, width)` outputs for texts' pieces."""
        # A model may not take a batch without a single piece.
        longest = max(1, *(len(text) for text in texts))
        ids = np.zeros((len(texts), longest), np.int64)
        mask = np.zeros_like(ids)
        for i, text in enumerate(texts):
            ids[i, : len(text)] = text[:, 0]
            mask[i, : max(1, len(text))] = 1
        (hidden,) = self.reader(input_ids=ids, attention_mask=mask)
        return hidden

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
    def _tokenizer(self) -> Any:
        return processors.tokenizer(self.path)

    @cached_property
    def reader(self) -> Any:
        return pretrained.reader(self.path, TEXT, ("input_ids", "attention_mask"), ragged=True)

    def along(self, folder: Path) -> dict[str, Any]:
        """The tokenizer."""
        self._tokenizer.backend_tokenizer.save(str(folder / processors.TOKENIZER))
        return {"unknown": self._tokenizer.unk_token_id, "needs": ["tokenizers"]}
