"""A row's numbers, categories and sets as one float vector."""

from __future__ import annotations

import datetime
import math
import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from polymodal.base.errors import UserError
from polymodal.contract.form import Form, Marginals, Slots
from polymodal.table import dates, values

# Beyond this a category or a member is counted as unseen: too rare to learn from.
MAX_CATEGORIES = 10_000
# Each member of a set takes a slot of its own in every row.
MAX_MEMBERS = 500
# With so few distinct names even one that occurs once is kept.
FEW = 20
# Larger numbers would overflow in float32 arithmetic.
LARGEST = 1e30
# A number that has no parts.
ITSELF = ""
# What a table that is typed, or was read, holds of numbers.
PLAIN = {float, int, type(None)}
# Rows that means and deviations are taken of at most, and cells of each column that are kept of
# them; fewer where there are so many columns that these would be more numbers than KEPT.
LOOKED_AT, SAMPLE, KEPT = 1024, 32, 8192
# Parts of a date that are codes, and how many they have with 0 for missing.
CODES = {"month": 13, "weekday": 8}


@dataclass(frozen=True)
class Place:
    """A column in the form's array, `array[start:stop]`, and which of its slots are codes."""

    name: str
    kind: str
    start: int
    stop: int
    coded: list[int]


@final
class Cells(Form):
    """Numbers as they are, categories as codes, sets as 0 and 1; NaN where missing.

    The array `(d,)`: a number takes one slot, less the training rows' median (so that large numbers
    keep their differences in float32); several numbers in a cell one each; a date or a time one for
    each part of the calendar (`dates.calendar`) that differs among the training rows, its month
    and weekday as codes; a category one slot with its code, 1 for the most frequent, 0 for missing
    or unseen; a set one slot a member.

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
        self._parts: dict[str, list[str]] = {}
        self._marginals: dict[str, Any] | None = None
        self._arrange()

    def fit(self, cells: Iterable[Mapping[str, Any]]) -> None:
        rows = list(cells)
        for column in self.columns:
            name = column["name"]
            present = [row[name] for row in rows if row[name] is not None]
            if column["kind"] == "number":
                self._parts[name] = _parts(present)
                self._offsets[name] = _median(present, self._parts[name])
            elif column["kind"] == "category":
                found = [values.category(v) for v in present]
                self._names[name] = _vocabulary(Counter(v for v in found if v), MAX_CATEGORIES)
            else:
                self._separators[name] = values.separator(present)
                sets = [values.members(v, self._separators[name]) or [] for v in present]
                self._names[name] = _vocabulary(Counter(m for s in sets for m in s), MAX_MEMBERS)
        self._arrange()
        self._learn_marginals(rows[:: max(1, -(-len(rows) // LOOKED_AT))])

    @property
    def state(self) -> dict[str, Any]:
        return {
            "offsets": self._offsets,
            "names": self._names,
            "separators": self._separators,
            "parts": {name: parts for name, parts in self._parts.items() if parts != [ITSELF]},
            **({} if self._marginals is None else {"marginals": self._marginals}),
        }

    @state.setter
    def state(self, state: dict[str, Any]) -> None:
        self._offsets = dict(state["offsets"])
        self._names = {name: list(names) for name, names in state["names"].items()}
        self._separators = dict(state["separators"])
        self._parts = {name: list(parts) for name, parts in state.get("parts", {}).items()}
        self._marginals = state.get("marginals")
        self._arrange()

    @property
    def fingerprint(self) -> str:
        """What training rows hold beyond codes and medians changes no array."""
        kept, self._marginals = self._marginals, None
        try:
            return super().fingerprint
        finally:
            self._marginals = kept

    @property
    def marginals(self) -> Marginals | None:
        if self._marginals is None:
            return None
        arrays = {key: np.array(self._marginals[key], np.float32) for key in self._marginals}
        return Marginals(self.slots, **arrays)

    def _learn_marginals(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """From some rows; a cell that cannot be read is for `encode` to tell of."""
        size = self.slots[-1].stop
        found = []
        for row in rows:
            try:
                found.append(self.encode(row))
            except UserError:
                continue
        data = np.stack(found) if found else np.zeros((0, size), np.float32)
        mean, deviation = np.zeros(size), np.ones(size)
        count = max(1, min(SAMPLE, KEPT // size))
        sample = np.zeros((count, size))
        rng = np.random.default_rng(0)
        for slot in self.slots:
            part = data[:, slot.start : slot.stop]
            there = part[:, 0] > 0 if slot.kind == "category" else ~np.isnan(part).any(1)
            if not there.any():
                continue
            part = part[there].astype(float)
            if slot.kind == "number":
                mean[slot.start], spread = part.mean(), part.std()
                deviation[slot.start] = spread if spread > 0 else 1
            sample[:, slot.start : slot.stop] = part[rng.integers(len(part), size=count)]
        self._marginals = {
            "mean": mean.tolist(),
            "deviation": deviation.tolist(),
            "sample": sample.tolist(),
        }

    def names(self, column: str) -> list[str]:
        """What a category's codes 1, 2, ... or a set's slots stand for."""
        return list(self._names[column])

    def encode(self, cell: Mapping[str, Any]) -> np.ndarray[Any, Any]:
        array = np.full(self.slots[-1].stop, np.nan, np.float32)
        plain = [cell.get(name) for name in self._plain]
        # Thousands of columns take too long one by one.
        at_once = set(map(type, plain)) <= PLAIN
        if at_once and plain:
            numbers = np.array(plain, np.float64) - self._shifts
            if np.isinf(numbers).any():
                at_once = False
            else:
                array[self._at] = np.clip(numbers, -LARGEST, LARGEST)
        for column in self._rest if at_once else self._places:
            value = cell.get(column.name)
            if column.kind == "category":
                # A missing category has no code either.
                name = values.category(value)
                array[column.start] = self._codes[column.name].get(name, 0)
            elif value is None:
                array[column.coded] = 0
            elif column.kind == "number":
                self._encode_number(value, column, array)
            else:
                self._encode_set(value, column, array[column.start : column.stop])
        return array

    def choices(self) -> Mapping[str, Sequence[str]]:
        return self._names

    def unlearned(self, cells: Callable[[str], Sequence[Any]]) -> dict[str, list[int]]:
        """Categories without a code, and sets with a member that has no slot."""
        found = {}
        for name, codes in self._codes.items():
            parted = name in self._separators
            known: dict[str, bool] = {}
            rows = []
            for row, value in enumerate(cells(name)):
                key = value if isinstance(value, str) else repr(value)
                if value is not None and key not in known:
                    one = [values.category(value)]
                    names = values.members(value, self._separators[name]) if parted else one
                    known[key] = all(n is None or n in codes for n in names or ())
                if value is not None and not known[key]:
                    rows.append(row)
            if rows:
                found[name] = rows
        return found

    def _encode_number(self, value: Any, column: Place, array: np.ndarray[Any, Any]) -> None:
        """One number, or the numbers of a date or of a cell with several."""
        parts = self._parts.get(column.name, [ITSELF])
        if parts == [ITSELF]:
            found = {ITSELF: _number(value, column.name)}
        elif isinstance(value, datetime.date | datetime.time):
            found = dates.calendar(value)
        elif isinstance(value, list | tuple | np.ndarray):
            found = {str(i): math.nan if v is None else float(v) for i, v in enumerate(value)}
        else:
            # A date as a number of seconds.
            moment = dates.EPOCH + datetime.timedelta(seconds=_number(value, column.name))
            found = dates.calendar(moment)
        offset = self._offsets[column.name]
        for i, part in enumerate(parts):
            number = found.get(part, 0.0 if part in CODES else math.nan)
            number -= offset if part in (ITSELF, "elapsed") else 0
            array[column.start + i] = min(max(number, -LARGEST), LARGEST)

    def _encode_set(self, value: Any, slots: Place, part: np.ndarray[Any, Any]) -> None:
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
        self._places: list[Place] = []
        start = 0
        for column in self.columns:
            name, kind = column["name"], column["kind"]
            parts = self._parts.get(name, [ITSELF])
            coded = [start + i for i, part in enumerate(parts) if part in CODES]
            if kind == "number":
                stop = start + len(parts)
                self.slots += [
                    Slots(name, "category", start + i, start + i + 1, CODES[part])
                    if part in CODES
                    else Slots(name, "number", start + i, start + i + 1)
                    for i, part in enumerate(parts)
                ]
            else:
                stop = start + (len(self._names[name]) if kind == "set" else 1)
                codes = len(self._names[name]) + 1 if kind == "category" else 0
                self.slots.append(Slots(name, kind, start, stop, codes))
            self._places.append(Place(name, kind, start, stop, coded))
            start = stop
        plain = [place for place in self._places if self._is_plain(place)]
        self._rest = [place for place in self._places if not self._is_plain(place)]
        self._plain = [place.name for place in plain]
        self._at = np.array([place.start for place in plain], np.int64)
        self._shifts = np.array([self._offsets[name] for name in self._plain])

    def _is_plain(self, place: Place) -> bool:
        """Whether a column's cells are one number each."""
        return place.kind == "number" and self._parts.get(place.name, [ITSELF]) == [ITSELF]


def _number(value: Any, column: str) -> float:
    try:
        return values.number(value)
    except ValueError as error:
        raise UserError(
            f"Column '{column}' holds {str(value)[:60]!r}, which {error}",
            expected="a number such as 1234.5, or a date such as 2024-01-31",
            do=f"mend the cell, or declare the column otherwise: `kind {column}=category`",
        ) from error


def _parts(present: Sequence[Any]) -> list[str]:
    """What a column's cells are made of: [ITSELF] of plain numbers."""
    if dates.is_moment(present):
        found = [dates.calendar(value) for value in present]
        names = list(dict.fromkeys(name for parts in found for name in parts))
        varied = [n for n in names if len({parts.get(n) for parts in found}) > 1]
        return varied or names[:1]
    longest = max((len(v) for v in present if isinstance(v, list | tuple | np.ndarray)), default=0)
    return [str(i) for i in range(longest)] or [ITSELF]


def _median(present: Sequence[Any], parts: Sequence[str]) -> float:
    """Of plain numbers, or of the days of dates; 0 for other parts."""
    if parts == [ITSELF] and present and set(map(type, present)) <= {float}:
        finite = np.array(present)
        finite = finite[np.isfinite(finite)]
        return float(np.median(finite)) if len(finite) else 0.0
    found = []
    for value in present:
        try:
            if parts == [ITSELF]:
                found.append(values.number(value))
            else:
                found.append(dates.calendar(value).get("elapsed", math.nan))
        except ValueError:
            continue  # `encode` will say so, row by row
    return statistics.median(known) if (known := [n for n in found if n == n]) else 0.0


def _vocabulary(counts: Counter[str], limit: int) -> list[str]:
    """Names by falling frequency; those that occur once only if there are few in all."""
    rarest = 1 if len(counts) <= FEW else 2
    kept = sorted(
        (name for name, n in counts.items() if n >= rarest), key=lambda n: (-counts[n], n)
    )
    return kept[:limit]
