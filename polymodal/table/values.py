"""What a table's cell means: a number, a category, a set. One spelling each, whatever the source.

A CSV holds strings, a Parquet file typed values; a model fitted on one must read the other.
"""

from __future__ import annotations

import datetime
import json
import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from polymodal.base.spelling import canonical, is_missing

# Shares of present cells that must agree.
MOST, NEARLY_ALL = 0.9, 0.95
# The first wins a tie: a comma may stand inside a name where another separator is in use.
SEPARATORS = (";", "|", ",")
_CODE = re.compile(r"0\d+")


def number(value: Any) -> float:
    """The number in a cell; a date or time becomes seconds since 1970 (UTC if it names no zone).

    NaN for a missing cell. ValueError, saying what is wrong, if it is not a finite number.
    """
    if value is None:
        return math.nan
    if isinstance(value, datetime.timedelta):
        return value.total_seconds()
    if isinstance(value, datetime.date):
        return _seconds(value)
    if isinstance(value, str):
        return _from_text(value)
    try:
        found = float(value)
    except (TypeError, ValueError) as error:
        raise ValueError("is not a number") from error
    if math.isinf(found):
        raise ValueError("is infinite")
    return found


def numbers(cells: Sequence[Any]) -> np.ndarray[Any, Any] | None:
    """The cells as floats (dates as seconds) if nearly all are numbers, and few like 007.

    Nearly: a stray "unknown" among 1 000 ages is a mistake to report, not a reason to take ages
    for names. What is no number is left out.
    """
    zeros = sum(
        isinstance(cell, str) and _CODE.fullmatch(cell.strip()) is not None for cell in cells
    )
    if zeros > 0.01 * len(cells):
        return None
    found, strange = [], 0
    for cell in cells:
        try:
            found.append(number(cell))
        except ValueError:
            strange += 1
            if strange > (1 - NEARLY_ALL) * len(cells):
                return None
    known: np.ndarray[Any, Any] = np.array(found)
    known = known[~np.isnan(known)]
    return known if len(known) else None


def is_date(cell: Any) -> bool:
    """Whether a cell that `numbers` accepts is a date or time."""
    if not isinstance(cell, str):
        return isinstance(cell, datetime.date)
    try:
        float(cell)
    except ValueError:
        return True
    return False


def category(value: Any) -> str | None:
    """The name of a category, as `spelling.canonical` has it; None if missing."""
    return None if is_missing(value) else canonical(value)


def members(value: Any, separator: str | None) -> list[str] | None:
    """The names in a set's cell, each once; None if missing."""
    if value is None:
        return None
    named = (category(part) for part in parts(value, separator))
    return list(dict.fromkeys(name for name in named if name is not None))


def parts(value: Any, separator: str | None) -> list[Any]:
    """What stands in a present cell: of a list, a JSON list or a text with separators.

    Args:
        separator: None where the training cells had none: a new table's texts may still have ";".
    """
    if isinstance(value, str):
        listed = json_list(value)
        return value.split(separator or SEPARATORS[0]) if listed is None else listed
    return (
        list(value) if isinstance(value, list | tuple | set | frozenset | np.ndarray) else [value]
    )


def separator(values: Sequence[Any]) -> str | None:
    """The separator that most of a set column's texts contain; None if none contains any."""
    texts = [v for v in values if isinstance(v, str) and json_list(v) is None]
    counts = {mark: sum(mark in text for text in texts) for mark in SEPARATORS}
    best = max(SEPARATORS, key=counts.__getitem__)
    return best if counts[best] else None


def json_list(text: str) -> list[Any] | None:
    """The list that a text spells in JSON, or None."""
    if not text.lstrip().startswith("["):
        return None
    try:
        found = json.loads(text)
    except json.JSONDecodeError:
        return None
    return found if isinstance(found, list) else None


def _from_text(text: str) -> float:
    text = text.strip()
    if not text:
        return math.nan
    try:
        # Python reads "1_000"; nobody else's tables mean a number by it.
        found = float(text) if "_" not in text else None
    except ValueError:
        found = None
    if found is not None:
        if math.isinf(found):
            raise ValueError("is infinite")
        return found
    try:
        return _seconds(datetime.datetime.fromisoformat(text))
    except ValueError as error:
        raise ValueError("is neither a number nor a date such as 2024-01-31") from error


def _seconds(moment: datetime.date) -> float:
    if not isinstance(moment, datetime.datetime):
        moment = datetime.datetime(moment.year, moment.month, moment.day)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=datetime.UTC)
    return moment.timestamp()


def short(value: Any) -> str:
    """A value in quotes, cut where it is long."""
    text = str(value)
    return f"'{text if len(text) <= 40 else text[:37] + '...'}'"
