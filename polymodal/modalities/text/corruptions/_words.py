"""What corruptions of texts share: words change, their number and the space between them do not."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from polymodal.base.words import replaced
from polymodal.contract.corruption import Corruption
from polymodal.modalities.text import hashing as _hashing


def save(cell: Any, words: list[str]) -> Any:
    """Other words in place of a text's own; the space between them stays."""
    if not isinstance(cell, str):
        return words
    return replaced(cell, words)


class WordCorruption(Corruption):
    """A corruption of a text's words; tags that label them still fit."""

    kind: ClassVar[str] = "text"

    def corrupt(self, cell: Any, level: float, rng: np.random.Generator) -> Any:
        return save(cell, self.change(_hashing.split(cell), level, rng))

    @abstractmethod
    def change(self, words: Sequence[str], level: float, rng: np.random.Generator) -> list[str]:
        """Words -> as many, worse ones; none of them becomes empty or gets a space."""
