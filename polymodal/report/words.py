"""Figures of a JSON document as they stand in a page, each with the place that it comes from."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from polymodal.base.spelling import cut

Path = Sequence[str | int]
# Of a gain or share, what is left of rounding.
NOISE = 1e-12


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
        return f"<{tag} {pointer(*path)}>{escape(brief(value, signed))}</{tag}>"

    def interval(self, *path: str | int, signed: bool = False) -> str:
        """A 95 % interval, from a mapping with "low" and "high"; nothing where they are equal.

        Then no resample changed the figure, which says little of how sure it is.
        """
        if not varies(self.at(*path)):
            return ""
        low, high = (self.number(*path, end, signed=signed) for end in ("low", "high"))
        return f'<span class="interval">[{low}, {high}]</span>'

    def text(self, *path: str | int, most: int = 60) -> str:
        """A word or answer; numbers as `number` does."""
        value = self.at(*path)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return self.number(*path)
        return f"<data {pointer(*path)}>{escape(cut(str(value), most))}</data>"

    def name(self, name: str) -> str:
        """A column's, class's or member's name."""
        return f'<span class="name">{escape(cut(name, 60))}</span>'


class Plain(Shown):
    """The same for a terminal."""

    def number(self, *path: str | int, signed: bool = False, tag: str = "") -> str:
        return written(self.at(*path), signed)

    def interval(self, *path: str | int, signed: bool = False) -> str:
        return span(self.at(*path), signed)

    def text(self, *path: str | int, most: int = 60) -> str:
        value = self.at(*path)
        return value if isinstance(value, str) else written(value)

    def name(self, name: str) -> str:
        return name


def card(title: str, body: str) -> str:
    """A part of the page."""
    return f'<section class="card"><h3>{title}</h3>{body}</section>'


def pointer(*path: str | int) -> str:
    """The attribute that says where a figure comes from."""
    keys = (str(key).replace("~", "~0").replace("/", "~1") for key in path)
    return f'data-json="{escape("".join("/" + key for key in keys))}"'


def written(value: float | None, signed: bool = False) -> str:
    """A number to four digits or so: 1,043,348; 147,333; 7.963; 0.9267; 8.7e-72."""
    if value is None or math.isnan(value):
        return "–"
    sign = "+" if signed else ""
    # Differences of equal sums are not always 0 to the last bit; p-values, which have no sign, may
    # be as small.
    value = 0.0 if signed and abs(value) < NOISE else value
    size = abs(value)
    if isinstance(value, int) or size >= 10_000:
        return f"{value:{sign},.0f}"
    if 0 < size < 1e-3:
        return f"{value:{sign}.2g}"
    return f"{value:{sign}.{4 if size <= 1 else 3 if size < 10 else 2 if size < 100 else 1}f}"


def brief(value: float | None, signed: bool = False) -> str:
    """A number to three significant digits, whole ones as they are: 147,333; 12.3; 0.927; 1.00."""
    if value is None or isinstance(value, int) or math.isnan(value):
        return written(value, signed)
    size = abs(value)
    if size >= 100:
        return f"{value:{'+' if signed else ''},.0f}"
    if size < (NOISE if signed else 1e-300):
        return f"{0.0:{'+' if signed else ''}.3f}"
    if size < 1e-3:
        return written(value, signed)
    return f"{value:{'+' if signed else ''}.{2 - math.floor(math.log10(size))}f}"


def span(found: Mapping[str, Any], signed: bool = False) -> str:
    """A 95 % interval as plain text; nothing where its ends are equal."""
    low, high = (written(found[end], signed) for end in ("low", "high"))
    return f"[{low}, {high}]" if varies(found) else ""


def varies(found: Mapping[str, Any]) -> bool:
    """Whether an interval has a width, or ends that are not known."""
    return found["low"] is None or found["low"] != found["high"]


def counted(number: int, what: str) -> str:
    """ "1 row", "2 rows"."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def grid(lines: Sequence[Sequence[str]], width: int = 80) -> list[str]:
    """Cells in columns no wider than a screen: what does not fit stands below, named again.

    Args:
        lines: of as many cells each, the heads first; the first cell names the line.
    """
    names, *columns = (list(column) for column in zip(*lines, strict=True))
    longest = max(map(len, (cell for column in columns for cell in column)), default=0)
    most = max(12, width - longest - 2)
    names = [cut(name, most) for name in names]
    first = max(map(len, names))
    blocks: list[list[str]] = [[name.ljust(first) for name in names]]
    for column in columns:
        cells = [f"  {cell.rjust(max(map(len, column)))}" for cell in column]
        if len(blocks[-1][0]) + len(cells[0]) > width and len(blocks[-1][0]) > first:
            blocks.append([name.ljust(first) for name in names])
        blocks[-1] = [line + cell for line, cell in zip(blocks[-1], cells, strict=True)]
    return [line.rstrip() for i, block in enumerate(blocks) for line in [*[""] * (i > 0), *block]]
