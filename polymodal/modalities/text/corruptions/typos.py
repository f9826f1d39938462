"""Texts typed in haste."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from string import ascii_lowercase

import numpy as np

from polymodal.modalities.text.corruptions._words import WordCorruption

RATE = 0.5  # of the characters at level 1

Draw = tuple[float, int, str]


class Typos(WordCorruption):
    """Each character is mistyped with chance `level` x RATE, in one of four ways, equally often.

    They are insertion of a letter behind it, omission (but never of a whole word), transposition
    with the next character of its word, and substitution, also where there is no next one (Damerau
    1964, "A technique for computer detection and correction of spelling errors").
    """

    def change(self, words: Sequence[str], level: float, rng: np.random.Generator) -> list[str]:
        count = sum(map(len, words))
        chances = rng.random(count).tolist()
        ways = rng.integers(4, size=count).tolist()
        letters = rng.choice(list(ascii_lowercase), count).tolist()
        draws = zip(chances, ways, letters, strict=True)
        return [_mistyped(word, level * RATE, draws) for word in words]


def _mistyped(word: str, rate: float, draws: Iterator[Draw]) -> str:
    typed = list(word)
    for i, (chance, way, letter) in enumerate(islice(draws, len(word))):
        if chance >= rate:
            continue
        if way == 0:
            typed[i] += letter
        elif way == 1:
            typed[i] = ""
        elif way == 2 and i + 1 < len(word):
            typed[i : i + 2] = typed[i + 1], typed[i]
        else:
            typed[i] = letter
    return "".join(typed) or word[:1]
