"""One cell without its table: read as its column reads it, and without Arrow.

What `readers.plain`, `columns` and a kind's `typed` do to a column, where its schema is known.
"""

from __future__ import annotations

import ast
import json
import math
import re
from collections.abc import Collection
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np

from polymodal.table import dates, numerals
from polymodal.table.nothing import MARKS
from polymodal.table.reading import Reading

_LISTED = re.compile(r"\s*\[.*\]\s*", re.DOTALL)
_WHOLE = re.compile(r"\s*-?\d+\s*")


def held(value: Any) -> Any:
    """A cell as a table holds it: None where it is missing, numbers of NumPy as Python's."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, float) and math.isnan(value):
        return None
    return None if isinstance(value, str) and value in MARKS else value


def is_blank(value: Any, words: Collection[str]) -> bool:
    """Whether a cell is one of the words for nothing, or the number or date that one says."""
    if not words or isinstance(value, bool):
        return False
    if isinstance(value, str):
        said = value.strip()
        whole = [word.strip() for word in words if _WHOLE.fullmatch(word)]
        return said in words or said in [f"{word}.0" for word in whole]
    if isinstance(value, int | float):
        return value in [numerals.plain(word) for word in words]
    if isinstance(value, date):
        moment = value if isinstance(value, datetime) else datetime(*value.timetuple()[:3])
        return moment in [dates.moment(word, "ymd") for word in words]
    return False


def number(value: Any, reading: Reading) -> Any:
    """A present cell of a column of numbers: as `Reading.value`; what is typed already stays.

    Raises:
        ValueError: it is none, and counts as missing.
    """
    if isinstance(value, float) and math.isinf(value) and reading.what != "date":
        raise ValueError("is infinite")
    return reading.value(value)


def items(value: Any) -> Any:
    """The list that a cell spells, in JSON or as Python prints it; any other cell as it is."""
    if not isinstance(value, str) or not _LISTED.fullmatch(value):
        return value
    try:
        try:
            found = json.loads(value)
        except ValueError:
            found = ast.literal_eval(value.strip())
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        return value
    return found if isinstance(found, list) else value
