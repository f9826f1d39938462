"""How a column's cells are written, found once from training rows and kept in the schema.

Inference, checks, preparation and prediction read a number or a date by the same Reading.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from polymodal.base.arrow import is_text
from polymodal.table import dates, numerals
from polymodal.table.nothing import is_word
from polymodal.table.units import Units

WHATS = ("number", "date", "clock", "span", "several")


@dataclass(frozen=True)
class Reading:
    """How the cells of a column are read as numbers.

    Attributes:
        what: one of WHATS: a number; a date or moment; a time of day; a length of time, in seconds;
            several numbers in a row, such as "120/80".
        decimal: "." or ",": what "6,174" means.
        order: of day, month and year in dates (`dates.moment`).
        units: unit -> its worth in the commonest one.
        parts: how many numbers a cell holds.
        missing: words that say that nothing is known.
    """

    what: str = "number"
    decimal: str = "."
    order: str = "dmy"
    units: dict[str, float] = field(default_factory=dict)
    parts: int = 1
    missing: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """What differs from plain numbers."""
        plain = asdict(Reading())
        return {k: v for k, v in asdict(self).items() if v != plain[k]}

    @classmethod
    def from_json(cls, described: Mapping[str, Any]) -> Reading:
        return cls(**{**described, "missing": tuple(described.get("missing", ()))})

    @cached_property
    def _units(self) -> Units:
        return Units(self.units)

    @cached_property
    def _gone(self) -> frozenset[str]:
        return frozenset(self.missing)

    def says_nothing(self, text: str) -> bool:
        """Whether a cell's text says that nothing is known."""
        text = text.strip()
        return not text or text in self._gone or is_word(text)

    def value(self, cell: Any) -> Any:
        """A cell as a float, a datetime, a time or a list of floats; None where missing.

        ValueError, saying what is wrong, if it is none of these.
        """
        if isinstance(cell, str):
            if self.says_nothing(cell):
                return None
            found = self.read(cell)
            if found is not None:
                return found
            if math.isinf(numerals.plain(cell) or 0):
                raise ValueError("is infinite")
            raise ValueError("is neither a number nor a date such as 2024-01-31")
        if self.what == "date" and isinstance(cell, int | float) and not isinstance(cell, bool):
            if not math.isfinite(cell):
                return None
            found = self.read(f"{cell:.0f}")
            if found is None:
                raise ValueError("is no date such as 20240131")
            return found
        return cell

    def read(self, text: str) -> Any:
        """What a present cell's text means; None if nothing."""
        factor = self._units.factor
        if self.what == "number":
            return numerals.one(text, self.decimal, factor)
        if self.what == "date":
            return dates.moment(text, self.order)
        if self.what == "clock":
            return dates.clock(text)
        if self.what == "span":
            span = numerals.span(text)
            return numerals.one(text, self.decimal, factor) if span is None else span
        several = numerals.several(text, self.decimal, factor)
        return several if several is not None and len(several) == self.parts else None

    def said(self) -> str:
        """How cells are written, in words; "" if as computers write them."""
        parts = []
        if self.what in _SAID:
            parts.append(_SAID[self.what].format(self.parts))
        if self.what == "date" and self.order != "ymd":
            parts.append(f"written {self.order}" if "%" in self.order else _ORDERS[self.order])
        if self.decimal == "," and self.what in ("number", "several"):
            parts.append("with decimal commas")
        named = [unit for unit in self.units if unit]
        if named:
            parts.append("in " + ", ".join(f"'{unit}'" for unit in named[:4]))
        return ", ".join(parts)


_SAID = {
    "date": "dates, as calendar parts",
    "clock": "times of day",
    "span": "lengths of time, in seconds",
    "several": "{} numbers a cell",
}
_ORDERS = {"dmy": "written day-month-year", "mdy": "written month-day-year"}


def read_column(data: pa.ChunkedArray, reading: Reading) -> tuple[pa.ChunkedArray, dict[int, str]]:
    """A column with its cells read, and why the rows whose cells are none count as missing.

    Texts become float64, timestamps, times or lists of float64; what is typed already stays.
    """
    kind = data.type
    if pa.types.is_floating(kind) and reading.what != "date":
        infinite = pc.fill_null(pc.is_inf(data), False)
        rows = np.flatnonzero(infinite.to_numpy())
        cleared = pc.if_else(infinite, pa.scalar(None, kind), data) if len(rows) else data
        return cleared, {int(row): "is infinite" for row in rows}
    digits = pa.types.is_integer(kind) or pa.types.is_floating(kind)
    compact = reading.what == "date" and digits
    if not is_text(kind) and not compact:
        return data, {}
    if reading.what == "number" and not reading.units and reading.decimal == ".":
        try:
            cast = pc.cast(pc.utf8_trim_whitespace(data), pa.float64())
            if not pc.any(pc.is_inf(cast)).as_py():
                return pc.if_else(pc.is_nan(cast), pa.scalar(None, cast.type), cast), {}
        except pa.ArrowInvalid:
            pass
    encoded = data.combine_chunks().dictionary_encode()
    values, why = [], {}
    for i, cell in enumerate(encoded.dictionary.to_pylist()):
        try:
            values.append(reading.value(cell))
        except ValueError as error:
            values.append(None)
            why[i] = str(error)
    codes = encoded.indices
    several = pa.list_(pa.float64(), reading.parts)
    found = pa.array(values, _TYPES.get(reading.what, several)).take(codes)
    known = codes.fill_null(-1).to_numpy(zero_copy_only=False)
    odd = {int(row): why[known[row]] for row in np.flatnonzero(np.isin(known, list(why)))}
    return pa.chunked_array([found]), odd


def blanked(data: pa.ChunkedArray, words: Iterable[str]) -> pa.ChunkedArray:
    """A column with null where a cell is one of these words, or the number or date that it says."""
    gone, kind, types = list(words), data.type, pa.types
    if not gone:
        return data
    if is_text(kind):
        # Programs write -1 as -1.0 where other cells have decimals.
        gone += [f"{word.strip()}.0" for word in gone if re.fullmatch(r"\s*-?\d+\s*", word)]
        cells = pc.utf8_trim_whitespace(data.cast(pa.large_string()))
        missing = pc.is_in(cells, pa.array(gone, pa.large_string()))
    elif types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind):
        numbers = [n for w in gone if (n := numerals.plain(w)) is not None and math.isfinite(n)]
        missing = pc.is_in(data.cast(pa.float64(), safe=False), pa.array(numbers, pa.float64()))
    elif types.is_date(kind) or types.is_timestamp(kind):
        moments = [m for word in gone if (m := dates.moment(word, "ymd")) is not None]
        cells = data.cast(pa.timestamp("us"), safe=False)
        missing = pc.is_in(cells, pa.array(moments, pa.timestamp("us")))
    else:
        return data
    return pc.if_else(missing, pa.scalar(None, kind), data)


_TYPES = {
    "number": pa.float64(),
    "date": pa.timestamp("us"),
    "clock": pa.time64("us"),
    "span": pa.float64(),
}


def counted(data: pa.ChunkedArray) -> dict[str, int]:
    """Each text and how many cells have it, in order of appearance; blank ones are left out."""
    found = pc.value_counts(data.drop_null())
    texts, counts = found.field("values").to_pylist(), found.field("counts").to_pylist()
    return {text: n for text, n in zip(texts, counts, strict=True) if text.strip()}
