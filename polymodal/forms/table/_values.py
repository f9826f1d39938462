"""What a table's cell means: a number, a category, a set. One spelling each, whatever the source.

A CSV holds strings, a Parquet file typed values; a model fitted on one must read the other.
"""

from __future__ import annotations

import datetime
import json
import math
from typing import Any

import numpy as np

from polymodal.spelling import canonical, is_missing

SEPARATORS = (";", "|", ",")


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


def category(value: Any) -> str | None:
    """The name of a category, as `spelling.canonical` has it; None if missing."""
    return None if is_missing(value) else canonical(value)


def members(value: Any, separator: str) -> list[str] | None:
    """A set's members, None if missing: of a list, a JSON list or a string with separators."""
    if value is None:
        return None
    if isinstance(value, str):
        text = value.strip()
        items: Any = _json_list(text)
        if items is None:
            items = text.split(separator)
    elif isinstance(value, list | tuple | set | frozenset | np.ndarray):
        items = list(value)
    else:
        items = [value]
    named = (category(item) for item in items)
    return list(dict.fromkeys(name for name in named if name is not None))


def separator(values: list[Any]) -> str:
    """The separator that most of a set column's strings contain; ";" if none contains any."""
    texts = [v for v in values if isinstance(v, str) and _json_list(v.strip()) is None]
    return max(SEPARATORS, key=lambda mark: sum(mark in text for text in texts))


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


def _json_list(text: str) -> list[Any] | None:
    if not text.startswith("["):
        return None
    try:
        found = json.loads(text)
    except json.JSONDecodeError:
        return None
    return found if isinstance(found, list) else None
