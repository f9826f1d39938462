"""Texts with words left out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from polymodal.modalities.text.corruptions._words import WordCorruption

# It keeps the word's place, for tags label words; as no letter it is no n-gram, and every
# tokenizer knows it.
BLANK = "~"


class DroppedWords(WordCorruption):
    """A blank in place of each word, with chance `level`."""

    def change(self, words: Sequence[str], level: float, rng: np.random.Generator) -> list[str]:
        dropped = rng.random(len(words)) < level
        return [BLANK if gone else word for word, gone in zip(words, dropped, strict=True)]
