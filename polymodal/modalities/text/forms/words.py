"""A text to the hashes of its words, their shapes and their parts."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from polymodal.contract.form import Form, Ids
from polymodal.modalities.text import hashing as _hashing


class Words(Form):
    """A text as int32 `(words, 2 + subwords)`: word id, shape id, ids of parts; 0 = none.

    The ids are hashes, so nothing is learned and no word is unknown: rare words are told by their
    parts and looks (after Bojanowski et al. 2017, "Enriching Word Vectors with Subword
    Information").

    Args:
        subwords: how many parts of a word are kept: beginnings and endings of one to four letters
            first, then inner trigrams.
        limit: words after this one are cut.
    """

    kind = "text"
    dtype = "int32"
    ragged = True
    version: ClassVar[int] = 2

    def __init__(self, *, subwords: int = 12, limit: int = 512) -> None:
        _hashing.check_least("subwords", subwords, 0)
        _hashing.check_least("limit", limit, 1)
        self.subwords = subwords
        self.limit = limit

    @property
    def ids(self) -> Ids:
        return Ids(None, self.limit, telling=tuple(range(1, 2 + self.subwords)))

    def encode(self, cell: Any) -> np.ndarray[Any, Any]:
        """A string or a list of words -> int32 `(words, 2 + subwords)`."""
        words = _hashing.split(cell)[: self.limit]
        array = np.zeros((len(words), 2 + self.subwords), np.int32)
        for row, word in zip(array, words, strict=True):
            parts = _hashing.subwords(word, self.subwords)
            row[: 2 + len(parts)] = (_hashing.word(word), _hashing.shape(word), *parts)
        return array

    def was_truncated(self, cell: Any) -> bool:
        return len(_hashing.split(cell)) > self.limit
