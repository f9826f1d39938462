"""Figures of a JSON document as they stand in a page, each with the place that it comes from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import Any

Path = Sequence[str | int]


class Shown:
    """What a page shows of a JSON document: every figure carries its JSON Pointer (RFC 6901).

    The pages' numbers can therefore not be others than the document's, and a test can tell.

    Args:
        document: JSON-able; a missing number is NaN or None.
    """

    def __init__(self, document: Any) -> None:
        self.document = document

    def at(self, *path: str | int) -> Any:
        """The value at a path."""
        found = self.document
        for key in path:
            found = found[key]
        return found

    def number(self, *path: str | int, signed: bool = False, tag: str = "data") -> str:
        """A figure to the digits that one reads."""
        value = self.at(*path)
        return f"<{tag} {pointer(*path)}>{escape(written(value, signed))}</{tag}>"

    def interval(self, *path: str | int, signed: bool = False) -> str:
        """A 95 % interval, from a mapping with "low" and "high"."""
        low, high = (self.number(*path, end, signed=signed) for end in ("low", "high"))
        return f'<span class="interval">[{low}, {high}]</span>'

    def text(self, *path: str | int, most: int = 60) -> str:
        """A word or answer; numbers as `number` does."""
        value = self.at(*path)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return self.number(*path)
        return f"<data {pointer(*path)}>{escape(cut(str(value), most))}</data>"


def pointer(*path: str | int) -> str:
    """The attribute that says where a figure comes from."""
    keys = (str(key).replace("~", "~0").replace("/", "~1") for key in path)
    return f'data-json="{escape("".join("/" + key for key in keys))}"'


def written(value: float | None, signed: bool = False) -> str:
    """A number to four digits or so: 1,043,348; 147,333; 7.963; 0.9267; 8.7e-72."""
    if value is None or math.isnan(value):
        return "–"
    sign = "+" if signed else ""
    size = abs(value)
    if isinstance(value, int) or size >= 10_000:
        return f"{value:{sign},.0f}"
    if 0 < size < 1e-3:
        return f"{value:{sign}.2g}"
    return f"{value:{sign}.{4 if size <= 1 else 3 if size < 10 else 2 if size < 100 else 1}f}"


def cut(text: str, most: int) -> str:
    """At most so many characters."""
    return text if len(text) <= most else text[: most - 1] + "…"
