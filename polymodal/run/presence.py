"""Which rows have which modality, and which modalities are to be ignored."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from polymodal.base import lookup
from polymodal.base.errors import UserError
from polymodal.base.spelling import is_missing, several
from polymodal.contract.answers import Answers
from polymodal.prepared.prepare import Prepared
from polymodal.table.read import Table
from polymodal.table.schema import Schema

# Prepared cells by the position of their form; only of the forms that are wanted.
Encoded = Sequence[Prepared] | Mapping[int, Prepared]


def presence(
    schema: Schema,
    forms: Sequence[Mapping[str, int]],
    table: Table,
    prepared: Encoded,
    gone: Collection[str],
) -> dict[str, Any]:
    """Which rows of a table have which modality, and are not to ignore it.

    Args:
        forms: each member's, as of `Trained`.
        gone: modalities to ignore.
    """
    known = {name: i for own in forms for name, i in own.items()}
    encoded = range(len(prepared)) if isinstance(prepared, Sequence) else prepared
    ready = {name: i for own in forms for name, i in own.items() if i in encoded}
    found: dict[str, Any] = {}
    for name, columns in schema.modalities().items():
        if name in gone:
            found[name] = np.zeros(len(table), bool)
        elif name in ready:
            found[name] = prepared[ready[name]].present
        elif name in known:
            found[name] = np.any([filled(table, c.name) for c in columns], axis=0)
        else:  # nothing that answers reads it
            found[name] = np.ones(len(table), bool)
    return found


def to_ignore(absent: str | Collection[str], names: Sequence[str]) -> frozenset[str]:
    """A modality to ignore, or several, as a set; UserError if there is no such modality."""
    gone = several(absent)
    for name in gone:
        if name not in names:
            raise UserError(
                f"The run has no modality '{name}' to ignore",
                expected=f"some of {', '.join(names)}",
                do=lookup.meant(name, names, "leave it out"),
            )
    return frozenset(gone)


def filled(table: Table, column: str) -> np.ndarray[Any, Any]:
    """`(rows,)` bool: which cells of a column are not missing."""
    return np.array([not is_missing(cell) for cell in table.cells(column)], bool)


def spread(values: Answers, rows: np.ndarray[Any, Any], count: int) -> list[Any]:
    """Some rows' scores in the places of `count` rows, None elsewhere."""
    found: list[Any] = [None] * count
    for row, value in zip(rows.tolist(), values, strict=True):
        found[row] = value
    return found
