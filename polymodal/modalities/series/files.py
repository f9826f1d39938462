"""Text files of a series: a line a step, a column a channel, as programs and people export them."""

from __future__ import annotations

import csv
import re
from collections import Counter
from datetime import datetime
from typing import Any

import numpy as np

from polymodal.table import listed

# Columns that tell when a step was, whatever they hold; and those that may, if they only rise.
TIMES = frozenset({"time", "timestamp", "timestamps", "datetime", "date", "zeit", "times"})
MAYBE = frozenset(
    {"", "t", "index", "idx", "step", "frame", "sample", "seconds", "sec", "s", "ms", "unnamed: 0"}
)
# So many steps show that numbers rise evenly.
FEW = 4
# Lines at the end that show what parts fields.
LAST = 10
_CLOCK = re.compile(r"-?\d{1,3}:\d{2}(:\d{2}([.,]\d+)?)?")
_DATE = re.compile(r"\d{1,4}[./-]\d{1,2}[./-]\d{1,4}([ T].*)?")

Array = np.ndarray[Any, Any]


def table(text: str) -> Array:
    """The numbers of a text file, `(steps, channels)`; gaps are NaN.

    Fields are parted by tabs, semicolons, bars, commas or blanks; decimals by points or, where the
    comma parts no fields, by commas. A header, lines that begin with # and a column of times are
    left out.

    Raises:
        ValueError: a field is no number, or lines have different numbers of fields.
    """
    lines = [line for line in text.splitlines() if line.strip() and line.lstrip()[0] != "#"]
    if not lines:
        return np.zeros((0, 1))
    # The last lines are no header.
    marks = Counter(mark for line in lines[-LAST:] if (mark := listed.mark_of(line)) is not None)
    mark = marks.most_common(1)[0][0] if marks else None
    rows = [_fields(line, mark) for line in lines]
    names: list[str] = []
    numbered = _is_numbered(rows)
    if numbered or not all(map(_is_value, rows[0])):
        names = [_bare(field).lower() for field in rows.pop(0)]
    if names and not names[0] and (numbered or _is_index(rows)):
        # A frame written with its index.
        rows, names = [row[1:] for row in rows], names[1:]
    if not rows:
        return np.zeros((0, 1))
    width = len(rows[0])
    for i, row in enumerate(rows):
        if len(row) != width:
            raise ValueError(f"{len(row)} fields in step {i}, {width} in the first")
    names = names if len(names) == width else []
    if width > 1 and not any(row[-1].strip() for row in rows) and not any(names[-1:]):
        # Every line ends with a mark.
        rows, names = [row[:-1] for row in rows], names[:-1]
    columns = [
        _column(fields, names[i] if names else str(i))
        for i, fields in enumerate(zip(*rows, strict=True))
    ]
    found = [column for column in columns if column is not None]
    if not found:
        raise ValueError("nothing but times")
    array = np.stack(found, axis=1)
    named = [name for name, column in zip(names, columns, strict=False) if column is not None]
    timed = array.shape[1] > 1 and _is_time(array, named[0] if named else None)
    return array[:, 1:] if timed else array


def _fields(line: str, mark: str | None) -> list[str]:
    """A mark between quotes is part of a field."""
    if mark is not None and '"' in line:
        return next(csv.reader([line], delimiter=mark))
    return line.split(mark)


def _column(fields: tuple[str, ...], name: str) -> Array | None:
    """A channel's numbers; None for one of dates or times of day."""
    found = [listed.number(_bare(field)) for field in fields]
    if None not in found:
        return np.array(found, float)
    if all(map(_is_moment, fields)):
        return None
    step = next(i for i, value in enumerate(found) if value is None)
    raise ValueError(f"{fields[step].strip()!r:.60} in step {step} of column '{name}' is no number")


def _is_numbered(rows: list[list[str]]) -> bool:
    """Whether the first line is a header though it has no names: of a frame whose columns are
    called by numbers or dates.

    A column of the rows' own numbers or dates may stand before them, under an empty name.
    """
    first, *others = [[_bare(field) for field in row] for row in rows]
    indexed = not first[0]
    named = first[1:] if indexed else first
    if not others or not named or len({*named}) < len(named) or "" in named:
        return False
    counted = named == [str(i) for i in range(len(named))]
    if indexed:
        own = [row[0] for row in others]
        if len({*own}) < len(own):
            return False
        # Rows keep their numbers where they were shuffled or chosen.
        numbered = all(map(str.isdecimal, own))
        ordered = {*own} == {str(i) for i in range(len(own))}
        return ordered or (numbered and counted) or (all(own) and all(map(_is_moment, own)))
    # A single 0 may be a step; two columns that count themselves are none.
    if counted:
        return len(named) > 1
    cells = [field for row in others for field in row if field]
    if all(map(_is_moment, named)):
        return not any(map(_is_moment, cells))
    # Whole numbers above nothing but decimals: frequencies, positions, years.
    many = len(named) > 1 and len(others) >= FEW
    return many and all(map(str.isdecimal, named)) and not any(map(_is_whole, cells))


def _is_index(rows: list[list[str]]) -> bool:
    """Whether the first fields, under an empty name, are the rows' own numbers in any order."""
    own = [_bare(row[0]) for row in rows]
    return bool(own) and {*own} == {str(i) for i in range(len(own))} and len(rows[0]) > 1


def _is_whole(field: str) -> bool:
    return field.lstrip("+-").isdecimal()


def _bare(field: str) -> str:
    return field.strip().strip("\"'")


def _is_value(field: str) -> bool:
    """Whether a field is a number, a gap or a time, and so no name."""
    bare = _bare(field)
    return listed.number(bare) is not None or _is_moment(bare)


def _is_moment(field: str) -> bool:
    bare = _bare(field)
    if not bare or _CLOCK.fullmatch(bare) or _DATE.fullmatch(bare):
        return True
    try:
        datetime.fromisoformat(bare)
    except ValueError:
        return False
    return True


def _is_time(array: Array, name: str | None) -> bool:
    """Whether the first column tells when steps were."""
    first = array[:, 0]
    if name in TIMES:
        return True
    rises = len(first) > 1 and bool(np.all(np.diff(first) > 0))
    if name is not None:
        return name in MAYBE and rises
    return rises and len(first) >= FEW and _even(first) and not all(map(_even, array.T[1:]))


def _even(values: Array) -> bool:
    gaps = np.diff(values)
    return bool(np.allclose(gaps, gaps.mean(), rtol=1e-3, atol=0))
