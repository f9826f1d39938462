"""One media cell, wherever it lies: a path, a URL, bytes in the table, a tar member, an array."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Media:
    """A media cell that has not been decoded.

    Exactly one of `path`, `data` and `values` is set.

    Attributes:
        label: what to call it in messages: its path, or "row 12, column 'image'".
        path: local path or fsspec URL.
        offset: where in the file it starts (tar members).
        size: how many bytes it has, or None for the whole file.
        data: the encoded bytes themselves.
        values: an already decoded array, or a list.
    """

    label: str
    path: str | None = None
    offset: int = 0
    size: int | None = None
    data: bytes | None = None
    values: np.ndarray[Any, Any] | None = None

    def bytes(self) -> bytes:
        """The encoded bytes. UserError if they cannot be read or there are none."""
        raise NotImplementedError

    def key(self) -> str:
        """Content hash: equal for equal content, wherever it lies."""
        content = self.values.tobytes() if self.values is not None else self.bytes()
        return hashlib.blake2b(content, digest_size=16).hexdigest()
