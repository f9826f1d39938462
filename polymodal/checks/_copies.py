"""Rows with equal inputs, by content, and whether they are copies or alike by chance."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np

from polymodal.contract import kind
from polymodal.prepared.cells import Contents
from polymodal.table.read import Table
from polymodal.table.schema import Column

Array = np.ndarray[Any, Any]
# Column -> table -> row -> a key that is equal for equal contents, None where missing.
Keys = Mapping[str, Sequence[Sequence[Any]]]


def codes(cells: Iterable[Any]) -> Array:
    """Equal cells to equal numbers, 0, 1, ... in order of appearance: `(rows,)` int64."""
    seen: dict[Any, int] = {}
    return np.array([seen.setdefault(cell, len(seen)) for cell in cells], np.int64)


def contents(
    tables: Sequence[Contents], column: Column
) -> tuple[list[list[Any]], list[dict[int, str]]]:
    """A column's cells, comparable across tables: media and texts by hash.

    Returns:
        The keys, table by table, and each table's unreadable rows with the reason.
    """
    found: list[list[Any]] = []
    unreadable: list[dict[int, str]] = []
    for i, own in enumerate(tables):
        room = kind.of(column.kind)
        if room.joint:
            found.append([room.key(column.kind, cell) for cell in own.table.cells(column.name)])
            unreadable.append({})
            continue
        keys, reasons = own.keys(column)
        # What cannot be read is equal to nothing.
        found.append([(i, row) if row in reasons else key for row, key in enumerate(keys)])
        unreadable.append(reasons)
    return found, unreadable


def equal(
    tables: Sequence[Table],
    columns: Sequence[Column],
    contents: Keys,
    words: int | None = None,
) -> tuple[list[Array], float]:
    """Which rows have equal inputs, and how likely two rows are to have them by chance.

    Args:
        columns: the inputs.
        words: how long a text must be that equal ones are copies; None: as its kind says.

    Returns:
        Equal numbers for rows with equal inputs, of each table `(rows,)`; and the chance, were
        columns independent: 0 with media or such texts, which are never equal by chance.
    """
    first = tables[0]
    rich = [c.name for c in columns if kind.of(c.kind).is_rich(first.cells(c.name), words)]
    keys: list[Any] = list(zip(*(chain(*contents[c.name]) for c in columns), strict=True))
    if rich:
        # Rows that lack every rich cell are alike by chance: each counts as different.
        lacking = zip(*(chain(*contents[name]) for name in rich), strict=True)
        for row, cells in enumerate(lacking):
            if all(cell is None for cell in cells):
                keys[row] = row
    ends = np.cumsum([len(table) for table in tables])
    chance = 0.0 if rich else by_chance([contents[c.name][0] for c in columns])
    return np.split(codes(keys), ends[:-1]), chance


def by_chance(columns: Sequence[Sequence[Any]]) -> float:
    """How likely two rows are to be equal, were columns independent."""
    chance = 1.0
    for cells in columns:
        counts = np.array(list(Counter(cells).values()), float)
        chance *= np.sum(counts * (counts - 1)) / max(1, len(cells) * (len(cells) - 1))
    return chance


def explained(chance: float, pairs: float) -> float:
    """How many equal rows `chance` explains, with room for columns that go together."""
    return 2 + 10 * chance * pairs if chance else 0


def repeats(found: Array) -> Array:
    """True for every row whose code an earlier row has."""
    repeated = np.ones(len(found), bool)
    repeated[np.unique(found, return_index=True)[1]] = False
    return repeated
