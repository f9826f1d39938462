"""Which rows of a table a run has learned from: by content, remembered as hashes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from polymodal.checks import _copies
from polymodal.contract import kind
from polymodal.prepared.cache import usable_folder
from polymodal.prepared.cells import Contents
from polymodal.table.read import Table
from polymodal.table.schema import Schema

# Of rows that hold nothing by which copies are told.
NONE = 0


@dataclass(frozen=True)
class Seen:
    """Hashes of rows' inputs.

    Attributes:
        rows: `(rows,)` int64; NONE where a row holds too little.
        chance: how likely two rows have equal inputs without being copies (`_copies.equal`).
    """

    rows: _copies.Array
    chance: float


def seen(contents: Contents, schema: Schema) -> Seen:
    """The hashes of a table's rows."""
    rich: list[str] = []
    keys: dict[str, list[Any]] = {}
    unreadable: set[int] = set()
    for column in schema.inputs:
        (keys[column.name],), (bad,) = _copies.contents([contents], column)
        unreadable |= bad.keys()
        if kind.of(column.kind).is_rich(contents.table.cells(column.name)):
            rich.append(column.name)
    rows = [_hash(row) for row in zip(*keys.values(), strict=True)]
    for i in range(len(rows)):
        if i in unreadable or (rich and all(keys[name][i] is None for name in rich)):
            rows[i] = NONE
    chance = 0.0 if rich else _copies.by_chance(list(keys.values()))
    return Seen(np.array(rows, np.int64), float(chance))


def again(table: Table, schema: Schema, known: Seen) -> _copies.Array:
    """The numbers of a table's rows that were seen before; none if chance explains as many."""
    with TemporaryDirectory() as elsewhere:
        own = seen(Contents(table, usable_folder() or Path(elsewhere)), schema).rows
    found = np.flatnonzero(np.isin(own, known.rows) & (own != NONE))
    few = _copies.explained(known.chance, len(known.rows) * len(own))
    return found if len(found) > few else found[:0]


def said(rows: Sequence[int], count: int, source: str) -> list[str]:
    """What to think of that, in words; nothing where there are none.

    Args:
        rows: of a table, as `again` finds them.
        count: of all its rows.
    """
    if not rows:
        return []
    first = ", ".join(str(row) for row in rows[:3]) + (", ..." if len(rows) > 3 else "")
    return [
        f"{len(rows):,} of {count:,} rows of {source} were trained or validated on (row {first}): "
        "on them a model is measured by memory. Measure on other rows"
    ]


def _hash(row: tuple[object, ...]) -> int:
    digest = hashlib.blake2b(repr(row).encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)
