"""A row's numbers, categories and sets as one float vector."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from polymodal.base.errors import UserError
from polymodal.contract.form import Form
from polymodal.table import values

# Beyond this a category or a member is counted as unseen: too rare to learn from.
MAX_CATEGORIES = 10_000
# Each member of a set takes a slot of its own in every row.
MAX_MEMBERS = 500
# With so few distinct names even one that occurs once is kept.
FEW = 20
# Larger numbers would overflow in float32 arithmetic.
LARGEST = 1e30


@dataclass(frozen=True)
class Slots:
    """Where a column stands in the form's array: `array[start:stop]`.

    Attributes:
        name: the column's.
        kind: "number", "category" or "set".
        codes: for a category how many codes it has, the 0 of missing and unseen included; else 0.
    """

    name: str
    kind: str
    start: int
    stop: int
    codes: int = 0


@final
class Cells(Form):
    """Numbers as they are, categories as codes, sets as 0 and 1; NaN where missing.

    The array `(d,)`: a number takes one slot, less the training rows' median (so that dates in
    seconds keep their differences in float32); a category one slot with its code, 1 for the most
    frequent, 0 for missing or unseen; a set one slot a member.

    Args:
        columns: `{"name", "kind"}` of each column, in the array's order.
    """

    kind = "table"
    dtype = "float32"
    ragged = False
    parallel = False

    def __init__(self, *, columns: Sequence[Mapping[str, str]]) -> None:
        self.columns = [{"name": c["name"], "kind": c["kind"]} for c in columns]
        self._offsets = {c["name"]: 0.0 for c in columns if c["kind"] == "number"}
        self._names: dict[str, list[str]] = {
            c["name"]: [] for c in columns if c["kind"] != "number"
        }
        self._separators: dict[str, str | None] = {
            c["name"]: None for c in columns if c["kind"] == "set"
        }
        self._arrange()

    def fit(self, cells: Iterable[Mapping[str, Any]]) -> None:
        rows = list(cells)
        for column in self.columns:
            name = column["name"]
            present = [row[name] for row in rows if row[name] is not None]
            if column["kind"] == "number":
                self._offsets[name] = _median(present)
            elif column["kind"] == "category":
                found = [values.category(v) for v in present]
                self._names[name] = _vocabulary(Counter(v for v in found if v), MAX_CATEGORIES)
            else:
                self._separators[name] = values.separator(present)
                sets = [values.members(v, self._separators[name]) or [] for v in present]
                self._names[name] = _vocabulary(Counter(m for s in sets for m in s), MAX_MEMBERS)
        self._arrange()

    @property
    def state(self) -> dict[str, Any]:
        return {
            "offsets": self._offsets,
            "names": self._names,
            "separators": self._separators,
        }

    @state.setter
    def state(self, state: dict[str, Any]) -> None:
        self._offsets = dict(state["offsets"])
        self._names = {name: list(names) for name, names in state["names"].items()}
        self._separators = dict(state["separators"])
        self._arrange()

    def names(self, column: str) -> list[str]:
        """What a category's codes 1, 2, ... or a set's slots stand for."""
        return list(self._names[column])

    def encode(self, cell: Mapping[str, Any]) -> np.ndarray[Any, Any]:
        array = np.full(self.slots[-1].stop, np.nan, np.float32)
        for slots in self.slots:
            value = cell[slots.name]
            if slots.kind == "category":
                # A missing category has no code either.
                name = values.category(value)
                array[slots.start] = self._codes[slots.name].get(name, 0)
            elif value is None:
                continue
            elif slots.kind == "number":
                number = _number(value, slots.name) - self._offsets[slots.name]
                array[slots.start] = min(max(number, -LARGEST), LARGEST)
            else:
                self._encode_set(value, slots, array[slots.start : slots.stop])
        return array

    def _encode_set(self, value: Any, slots: Slots, part: np.ndarray[Any, Any]) -> None:
        codes = self._codes[slots.name]
        part[:] = 0
        for member in values.members(value, self._separators[slots.name]) or []:
            if member in codes:
                part[codes[member] - 1] = 1

    def _arrange(self) -> None:
        self._codes: dict[str, dict[str | None, int]] = {
            name: {value: i for i, value in enumerate(names, 1)}
            for name, names in self._names.items()
        }
        self.slots: list[Slots] = []
        start = 0
        for column in self.columns:
            name, kind = column["name"], column["kind"]
            stop = start + (len(self._names[name]) if kind == "set" else 1)
            codes = len(self._names[name]) + 1 if kind == "category" else 0
            self.slots.append(Slots(name, kind, start, stop, codes))
            start = stop


def _number(value: Any, column: str) -> float:
    try:
        return values.number(value)
    except ValueError as error:
        raise UserError(
            f"Column '{column}' holds {str(value)[:60]!r}, which {error}",
            expected="a number such as 1234.5, or a date such as 2024-01-31",
            do=f"mend the cell, or declare the column otherwise: `kind` {column}=category",
        ) from error


def _median(present: Sequence[Any]) -> float:
    found = []
    for value in present:
        try:
            number = values.number(value)
        except ValueError:
            continue  # `encode` will say so, row by row
        if number == number:
            found.append(number)
    return statistics.median(found) if found else 0.0


def _vocabulary(counts: Counter[str], limit: int) -> list[str]:
    """Names by falling frequency; those that occur once only if there are few in all."""
    rarest = 1 if len(counts) <= FEW else 2
    kept = sorted(
        (name for name, n in counts.items() if n >= rarest), key=lambda n: (-counts[n], n)
    )
    return kept[:limit]
