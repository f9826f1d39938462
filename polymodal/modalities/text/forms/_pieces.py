"""A text to a pretrained tokenizer's pieces, each with the word it belongs to."""

from __future__ import annotations

from typing import Any

import numpy as np

from polymodal.modalities.text import hashing as _hashing


def encode(cell: Any, tokenizer: Any, limit: int) -> np.ndarray[Any, Any]:
    """A text to int32 `(pieces, 3)`: tokenizer id, number of its word, shape id of its word.

    Words count from 1; the tokenizer's own marks ([CLS] and the like) belong to word 0, with
    shape 0. Every word has at least one piece: the unknown piece if the tokenizer drops it. The
    shape keeps the capitals that an uncased tokenizer loses.
    """
    return _cut(uncut(cell, tokenizer), limit)


def uncut(cell: Any, tokenizer: Any) -> np.ndarray[Any, Any]:
    """All of a text's pieces, however long it is."""
    # Where no spaces are, the tokenizer's own pieces say more than single characters.
    found = cell.split() if isinstance(cell, str) else _hashing.split(cell)
    words = [whole(word) for word in found]
    # The tokenizer gets a string as it stands, so that it cuts as it does anywhere else.
    text = whole(cell) if isinstance(cell, str) else " ".join(words)
    encoded = tokenizer.backend_tokenizer.encode(text)
    ids = np.array(encoded.ids, np.int32)
    numbers = _word_numbers(text, words, np.array(encoded.offsets, np.int64).reshape(-1, 2))
    numbers[np.array(encoded.special_tokens_mask, bool)] = 0
    ids, numbers = add_dropped(ids, numbers, len(words), tokenizer.unk_token_id)
    shapes = np.array([0] + [_hashing.shape(word) for word in words], np.int32)
    return np.stack([ids, numbers, shapes[numbers]], axis=1).astype(np.int32)


def whole(text: str) -> str:
    """With ? for each half of a surrogate pair, which no tokenizer takes; of the same length."""
    return text.encode("utf-8", "replace").decode()


def _word_numbers(
    text: str, words: list[str], offsets: np.ndarray[Any, Any]
) -> np.ndarray[Any, Any]:
    """`(pieces, 2)` character spans -> `(pieces,)` numbers of the words that they end in."""
    starts, position = [], 0
    for word in words:
        position = text.index(word, position)
        starts.append(position)
        position += len(word)
    # The last character decides: a piece may begin with the space before its word.
    return np.searchsorted(np.array(starts), offsets[:, 1] - 1, side="right")


def add_dropped(
    ids: np.ndarray[Any, Any], numbers: np.ndarray[Any, Any], words: int, unknown: int | None
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Put the unknown piece where a word has none (a lone control character, for example)."""
    dropped = np.setdiff1d(np.arange(1, words + 1), numbers)
    if not len(dropped) or unknown is None:
        return ids, numbers
    # Before the first piece of a later word, or else after the last word's last piece.
    real = np.flatnonzero(numbers)
    end = real[-1] + 1 if len(real) else len(ids) - (len(ids) > 1)
    at = np.array([next((i for i in real if numbers[i] > word), end) for word in dropped], int)
    return np.insert(ids, at, unknown), np.insert(numbers, at, dropped)


def _cut(pieces: np.ndarray[Any, Any], limit: int) -> np.ndarray[Any, Any]:
    """The first `limit` pieces, with the closing marks in place of the last of them."""
    if len(pieces) <= limit:
        return pieces
    real = np.flatnonzero(pieces[:, 1])
    closing = pieces[real[-1] + 1 :]
    return np.concatenate([pieces[: limit - len(closing)], closing])
