"""Cells as the bytes of their text: for tasks that read texts in their own way."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from polymodal.contract.form import Form


class SpelledForm(Form):
    """UTF-8 `(bytes,)`, uint8.

    Attributes:
        limit: of bytes; what is longer loses its end.
    """

    limit: ClassVar[int] = 1 << 16
    dtype = "uint8"
    ragged = True
    beyond: ClassVar[str] = "has more bytes than {form} takes: cut off"

    def text(self, cell: Any) -> str:
        """What a present cell says."""
        raise NotImplementedError

    def encode(self, cell: Any) -> np.ndarray[Any, Any]:
        return np.frombuffer(self._bytes(cell)[: self.limit], np.uint8).copy()

    def decode(self, array: np.ndarray[Any, Any]) -> str:
        """The text; of one that was cut without the half of its last character."""
        return bytes(array).decode("utf-8", "ignore")

    def was_truncated(self, cell: Any) -> bool:
        return len(self._bytes(cell)) > self.limit

    def _bytes(self, cell: Any) -> bytes:
        # Zeros are padding.
        return self.text(cell).replace("\0", " ").encode("utf-8", "replace")
