"""A text to its hashed word and character n-grams with their counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np

from polymodal.base import words as _words
from polymodal.contract.form import Form
from polymodal.modalities.text import hashing as _hashing

# Where characters stand for words, runs may be so much longer: two or three make one word.
LONGER = 1


class Ngrams(Form):
    """A text as float32 `(n, 2)`: id in [1, 2²²) and count of each n-gram, ids ascending.

    Words are those of `base.words.words`, with marks: characters where a script puts no spaces
    between words. Short pieces whose signs say something (c++, -5, 50%) are counted whole as well.

    Args:
        words: runs of up to this many words are counted; of characters that stand for words, of up
            to LONGER more.
        chars: runs of 3 to this many characters inside a word (its edges marked) are counted too;
            0 = none.
        limit: words after this one are cut.
    """

    kind = "text"
    dtype = "float32"
    ragged = True
    version: ClassVar[int] = 2

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
        text = _text(cell)
        tokens = _words.words(text, marks=True)[: self.limit]
        counts = Counter(self._ids(tokens))
        # A sign that is a word itself, such as <3, is counted already.
        known = set(tokens)
        signed = (piece for piece in _words.signed(text)[: self.limit] if piece not in known)
        counts.update(_hashing.identity("s:" + piece) for piece in signed)
        return np.array(sorted(counts.items()), np.float32).reshape(-1, 2)

    def was_truncated(self, cell: Any) -> bool:
        text = _text(cell)
        # A word has a character at least: most texts need not be cut into words again.
        return len(text) > self.limit and len(_words.words(text, marks=True)) > self.limit

    def _ids(self, tokens: list[str]) -> Iterator[int]:
        # No run is longer than the text, whatever a recipe asks for.
        for length in range(1, min(self.words, len(tokens)) + 1):
            for start in range(len(tokens) - length + 1):
                yield _hashing.identity(" ".join(tokens[start : start + length]))
        longest, run = self.words + LONGER, 0
        for end, token in enumerate(tokens, 1):
            run = run + 1 if not token.isascii() and _words.is_unspaced(token) else 0
            if run >= longest:
                yield _hashing.identity(" ".join(tokens[end - longest : end]))
        for token in tokens if self.chars else ():
            yield from _inner(token, self.chars)


def _text(cell: Any) -> str:
    return cell if isinstance(cell, str) else " ".join(_hashing.split(cell))


@lru_cache(maxsize=65536)
def _inner(token: str, longest: int) -> tuple[int, ...]:
    edged = f"<{token}>"
    return tuple(
        _hashing.identity("c:" + edged[start : start + length])
        for length in range(3, min(longest, len(edged)) + 1)
        for start in range(len(edged) - length + 1)
    )
