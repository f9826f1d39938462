"""Which pieces of bytes go on with a text that is whole letters: UTF-8, and no strange controls.

A piece may hold a part of a letter, so that a model that draws, or has learned little, may put
parts together that are none. States are those of the table of well-formed byte sequences (The
Unicode Standard, section 3.9, table 3-7).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from copy import copy
from typing import Any

import numpy as np
import torch
from torch import Tensor

Array = np.ndarray[Any, Any]

# Characters that have no sign, and the one that stands for broken letters.
CONTROLS = "".join(map(chr, [*range(0x20), *range(0x7F, 0xA0), 0xFFFD]))
# Where a text is: between letters; so many bytes before a letter's end; behind a first byte after
# which not every byte may come. Last is where no letter can be made any more.
WHOLE, ONE, TWO, THREE, E0, ED, F0, F4, C2, EF, EFBF, BROKEN = range(12)
# How many bytes are lacking in each.
LACK = np.array([0, 1, 2, 3, 2, 2, 3, 3, 1, 2, 1, 9])
# State, bytes from, to, and the state behind them.
STEPS = (
    (WHOLE, 0x00, 0x7F, WHOLE),
    (WHOLE, 0xC2, 0xC2, C2),
    (WHOLE, 0xC3, 0xDF, ONE),
    (WHOLE, 0xE0, 0xE0, E0),
    (WHOLE, 0xE1, 0xEC, TWO),
    (WHOLE, 0xED, 0xED, ED),
    (WHOLE, 0xEE, 0xEE, TWO),
    (WHOLE, 0xEF, 0xEF, EF),
    (WHOLE, 0xF0, 0xF0, F0),
    (WHOLE, 0xF1, 0xF3, THREE),
    (WHOLE, 0xF4, 0xF4, F4),
    (ONE, 0x80, 0xBF, WHOLE),
    (TWO, 0x80, 0xBF, ONE),
    (THREE, 0x80, 0xBF, TWO),
    (E0, 0xA0, 0xBF, ONE),
    (ED, 0x80, 0x9F, ONE),
    (F0, 0x90, 0xBF, TWO),
    (F4, 0x80, 0x8F, TWO),
    (C2, 0x80, 0xBF, WHOLE),
    (EF, 0x80, 0xBE, ONE),
    (EF, 0xBF, 0xBF, EFBF),
    (EFBF, 0x80, 0xBF, WHOLE),
)


class Letters:
    """A rule (`nn.manner.Rule`): a text ends, and has no more room, only behind a whole letter.

    A state is where the text is, and for how many pieces there is room.

    Args:
        pieces: the bytes of each; b"" of marks, none of which may come but the end.
        end: the mark that ends a text.
        controls: those of CONTROLS that may come.
        longest: pieces of a text at most.
    """

    def __init__(
        self, pieces: Sequence[bytes], end: int, controls: Collection[str], longest: int = 1
    ) -> None:
        self._longest = longest
        self._behind = _behind(pieces, controls)
        lack = LACK[self._behind]
        # Each lacking byte is a piece: with room for so many a letter can be ended.
        self._allowed = torch.from_numpy(np.stack([lack < room for room in range(1, 5)]))
        self._allowed[:, :, [i for i, piece in enumerate(pieces) if not piece]] = False
        self._allowed[:, WHOLE, end] = True

    def within(self, longest: int) -> Letters:
        """The same for texts of so many pieces at most."""
        found = copy(self)
        found._longest = longest
        return found

    def start(self) -> tuple[int, int]:
        return WHOLE, self._longest

    def allowed(self, state: tuple[int, int]) -> Tensor:
        at, room = state
        found: Tensor = self._allowed[min(max(room, 1), 4) - 1, at]
        return found

    def then(self, state: tuple[int, int], piece: int) -> tuple[int, int]:
        at, room = state
        return int(self._behind[at, piece]), room - 1


def _behind(pieces: Sequence[bytes], controls: Collection[str]) -> Array:
    """`(states, pieces)`: where a text is behind each piece."""
    nothing = 256
    table = np.full((BROKEN + 1, nothing + 1), BROKEN)
    for state, first, last, behind in STEPS:
        table[state, first : last + 1] = behind
    for control in set(CONTROLS) - set(controls):
        state = WHOLE
        *lead, last = control.encode()
        for byte in lead:
            state = table[state, byte]
        table[state, last] = BROKEN
    table[:, nothing] = np.arange(BROKEN + 1)
    spelled = np.full((len(pieces), max(map(len, pieces))), nothing)
    for row, piece in zip(spelled, pieces, strict=True):
        row[: len(piece)] = list(piece)
    at = np.repeat(np.arange(BROKEN)[:, None], len(pieces), 1)
    for column in spelled.T:
        at = table[at, column]
    return at
