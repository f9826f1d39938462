"""A text to its hashed word and character n-grams with their counts."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import numpy as np

from polymodal.contract.form import Form
from polymodal.modalities.text import hashing as _hashing

# Words of letters and digits, runs of ! and ?, and emoticons such as :-) and <3.
_TOKEN = re.compile(r"\w+|[!?]+|[:;=8]['-]?[()dpo/\\|*]|<3", re.IGNORECASE)


class Ngrams(Form):
    """A text as float32 `(n, 2)`: id in [1, 2²²) and count of each n-gram, ids ascending.

    Args:
        words: runs of up to this many words are counted.
        chars: runs of 3 to this many characters inside a word (its edges marked) are counted too;
            0 = none.
        limit: words after this one are cut.
    """

    kind = "text"
    dtype = "float32"
    ragged = True

    def __init__(self, *, words: int = 2, chars: int = 0, limit: int = 4096) -> None:
        _hashing.check_least("words", words, 1)
        _hashing.check_least("limit", limit, 1)
        if chars:
            _hashing.check_least("chars", chars, 3)
        self.words = words
        self.chars = chars
        self.limit = limit

    def encode(self, cell: Any) -> np.ndarray[Any, Any]:
        """A string or a list of words -> float32 `(n, 2)`; an empty text gives `(0, 2)`."""
        text = " ".join(_hashing.split(cell)).lower()
        counts = Counter(self._ids(_TOKEN.findall(text)[: self.limit]))
        return np.array(sorted(counts.items()), np.float32).reshape(-1, 2)

    def was_truncated(self, cell: Any) -> bool:
        text = " ".join(_hashing.split(cell))
        # A word has a character at least: most texts need not be cut into words again.
        return len(text) > self.limit and len(_TOKEN.findall(text)) > self.limit

    def _ids(self, tokens: list[str]) -> Iterator[int]:
        for length in range(1, self.words + 1):
            for start in range(len(tokens) - length + 1):
                yield _hashing.identity(" ".join(tokens[start : start + length]))
        for token in tokens:
            yield from _inner(token, self.chars)


@lru_cache(maxsize=65536)
def _inner(token: str, longest: int) -> tuple[int, ...]:
    edged = f"<{token}>"
    return tuple(
        _hashing.identity("c:" + edged[start : start + length])
        for length in range(3, longest + 1)
        for start in range(len(edged) - length + 1)
    )
