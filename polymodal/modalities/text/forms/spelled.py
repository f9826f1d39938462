"""A text as its bytes."""

from __future__ import annotations

from typing import Any, final

from polymodal.modalities._spelled import SpelledForm
from polymodal.modalities.text.hashing import split


@final
class Spelled(SpelledForm):
    """UTF-8 `(bytes,)`, uint8; a list of words joined by blanks."""

    kind = "text"

    def text(self, cell: Any) -> str:
        return cell if isinstance(cell, str) else " ".join(split(cell))
