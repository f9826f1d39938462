"""What a table's cell means: a number, a category, a set. One spelling each, whatever the source.

A CSV holds strings, a Parquet file typed values; a model fitted on one must read the other.
"""

from __future__ import annotations

import datetime
import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from polymodal.base.spelling import canonical, is_missing
from polymodal.table import dates, reading

# Shares of present cells that must agree.
MOST, NEARLY_ALL = 0.9, 0.95
# The first wins a tie: a comma may stand inside a name where another separator is in use.
SEPARATORS = (";", "|", ",", "\n", "；", "、", "，")
# Marks that stand inside names as often ("R&B", "AC/DC"): separators where the parts come back.
RARER = ("/", "&", "#", "+")


def number(value: Any) -> float:
    """The number in a cell; a date or time becomes seconds since 1970 (UTC if it names no zone).

    A text is read as people write numbers (`reading`), "6,174" as six thousand. NaN for a missing
    cell. ValueError, saying what is wrong, if it is not a finite number.
    """
    if type(value) is float and math.isfinite(value):
        return value
    if value is None:
        return math.nan
    if isinstance(value, datetime.timedelta | datetime.date | datetime.time):
        return dates.scalar(value)
    if isinstance(value, str):
        # One text alone may be either; in a column of numbers a date is no number (`reading`).
        moment = dates.moment(value, "dmy") if reading.Reading().read(value) is None else None
        found = reading.Reading().value(value) if moment is None else dates.seconds(moment)
        return math.nan if found is None else float(found)
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
    """The separator that most of a set column's texts contain; None if none contains any.

    One of `RARER` is only where no other is, and where it leaves half as many names as cells or
    fewer.
    """
    texts = [v for v in values if isinstance(v, str) and json_list(v) is None]
    counts = {mark: sum(mark in text for text in texts) for mark in (*SEPARATORS, *RARER)}
    best = max(SEPARATORS, key=counts.__getitem__)
    if counts[best]:
        return best
    best = max(RARER, key=counts.__getitem__)
    return best if counts[best] and _come_back(texts, best) else None


def _come_back(texts: Sequence[str], mark: str) -> bool:
    """Whether a separator leaves half as many names as cells, or fewer."""
    parts = {part.strip() for text in texts for part in text.split(mark)} - {""}
    return 2 * len(parts) <= len(set(texts))


def joins(values: Sequence[Any]) -> str | None:
    """The separator, other than a comma, that stands inside most texts of a column; or None.

    Such cells mostly hold several labels; a comma stands inside names too.
    """
    texts = [value for value in values if isinstance(value, str)]
    for mark in (one for one in (*SEPARATORS, *RARER) if one not in (",", "，")):
        inside = sum(mark in text.strip(f"{mark} ") for text in texts)
        if texts and 2 * inside >= len(texts) and (mark in SEPARATORS or _come_back(texts, mark)):
            return mark
    return None


def json_list(text: str) -> list[Any] | None:
    """The list that a text spells in JSON, or None."""
    if not text.lstrip().startswith("["):
        return None
    try:
        found = json.loads(text)
    except json.JSONDecodeError:
        return None
    return found if isinstance(found, list) else None


def short(value: Any) -> str:
    """A value in quotes, cut where it is long."""
    text = str(value)
    return f"'{text if len(text) <= 40 else text[:37] + '...'}'"
