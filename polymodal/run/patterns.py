"""Rows that lack modalities: which sets of present ones are validated, and which a row goes by."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

# Up to this many modalities all sets are validated; of more, those that lack one, those of one,
# and those that validation rows have.
MOST = 6
# And so many of what validation rows have.
SEEN = 40


def patterns(present: Mapping[str, Array]) -> list[frozenset[str]]:
    """The sets of present modalities to validate: neither none nor all of them.

    Args:
        present: modality -> `(rows,)` bool, of the validation rows.
    """
    names = list(present)
    sizes = range(1, len(names)) if len(names) <= MOST else (1, len(names) - 1)
    found = [frozenset(team) for size in sizes for team in combinations(names, size)]
    held = np.stack(list(present.values()), 1)
    kinds, counts = np.unique(held, axis=0, return_counts=True)
    for i in np.argsort(-counts, kind="stable")[:SEEN]:
        found.append(frozenset(name for name, own in zip(names, kinds[i], strict=True) if own))
    return [team for team in dict.fromkeys(found) if 0 < len(team) < len(names)]


def nearest(here: Collection[str], known: Collection[frozenset[str]]) -> frozenset[str] | None:
    """The largest of the known sets of which a row has all; None if there is none."""
    within = [team for team in known if team <= set(here)]
    return max(within, key=lambda team: (len(team), sorted(team)), default=None)


def grouped(present: Mapping[str, Array]) -> Iterator[tuple[frozenset[str], Array]]:
    """Each set of present modalities that rows have, and the positions of these rows."""
    names = list(present)
    kinds, which = np.unique(np.stack(list(present.values()), 1), axis=0, return_inverse=True)
    for i, own in enumerate(kinds):
        here = frozenset(name for name, is_here in zip(names, own, strict=True) if is_here)
        yield here, np.flatnonzero(which.reshape(-1) == i)


def said(present: Mapping[str, Array]) -> list[str]:
    """What each row lacks, in words: "" or modalities with commas between."""
    gone: Sequence[tuple[str, Array]] = [(name, ~own) for name, own in present.items()]
    rows = len(gone[0][1]) if gone else 0
    return [", ".join(name for name, own in gone if own[i]) for i in range(rows)]
