"""Edit distance, and the error rates of words and characters that come of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import numpy as np

from polymodal.base.words import words

Array = np.ndarray[Any, Any]


def distance(a: Sequence[Hashable], b: Sequence[Hashable]) -> int:
    """The fewest items to insert, delete or replace that make one sequence the other.

    A column of the usual table at once, in two integers: where it grows and where it falls by one.
    Paper: "A Bit-Vector Algorithm for Computing Levenshtein and Damerau Edit Distances" (Hyyrö
    2003).
    """
    if not a:
        return len(b)
    places: dict[Hashable, int] = defaultdict(int)
    for i, item in enumerate(a):
        places[item] |= 1 << i
    whole, last = (1 << len(a)) - 1, 1 << (len(a) - 1)
    up, down, found = whole, 0, len(a)
    for item in b:
        same = places.get(item, 0)
        diagonal = same | down
        across = (((same & up) + up) ^ up) | same
        more, less = down | (whole & ~(across | up)), up & across
        found += bool(more & last) - bool(less & last)
        more, less = (more << 1 | 1) & whole, (less << 1) & whole
        up, down = less | (whole & ~(diagonal | more)), more & diagonal
    return found


def errors(
    predictions: Sequence[str],
    references: Sequence[Sequence[str]],
    cut: Callable[[str], Sequence[Hashable]],
) -> tuple[Array, Array]:
    """`(rows,)` edits to the nearest reference, and that reference's length.

    Args:
        references: one or more a row.
        cut: what of a text is compared.
    """
    found = []
    for text, given in zip(predictions, references, strict=True):
        guess, golds = cut(text), [cut(one) for one in given]
        ways = [(distance(guess, gold), len(gold)) for gold in golds]
        found.append(min(ways, key=lambda way: way[0] / max(1, way[1])))
    table = np.array(found, float).reshape(len(found), 2)
    return table[:, 0], table[:, 1]


def characters(text: str) -> str:
    """What the error rate of characters compares: words as `base.words.words` has them."""
    return " ".join(words(text))
