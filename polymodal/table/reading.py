"""How a column's cells are written, found once from training rows and kept in the schema.

Inference, checks, preparation and prediction read a number or a date by the same Reading.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

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
