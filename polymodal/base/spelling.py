"""How a cell that names something is spelled, in inputs and targets alike.

A CSV holds strings, a Parquet file typed values; a model fitted on one must read the other.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import numpy as np

from polymodal.base.errors import UserError

# What a terminal obeys instead of showing it, or no encoding has.
_ACTIVE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
_WHOLE = re.compile(r"(-?(?:0|[1-9]\d*))\.0+")


def several(given: str | Iterable[str] | None) -> list[str]:
    """Names where one or several are asked for: a text is one name, not its letters."""
    return [given] if isinstance(given, str) else list(given or ())


def is_missing(cell: Any) -> bool:
    """None, NaN, NaT and blank text name nothing."""
    if isinstance(cell, np.generic):
        cell = cell.item()
    if isinstance(cell, float):
        return math.isnan(cell)
    return cell is None or (isinstance(cell, str) and not cell.strip())


def canonical(cell: Any) -> str:
    """The one spelling of a cell that is not missing.

    True, "True" and "true" are "true"; 1, 1.0, "1" and "1.0" are "1"; "01" stays what it is.
    """
    if isinstance(cell, np.generic):
        cell = cell.item()
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return _spelled(str(cell))


def prose(cell: Any) -> str:
    """A cell that is not missing in words: a text as it is, a number to six decimals."""
    if isinstance(cell, str):
        return cell
    if isinstance(cell, list | tuple | set):
        return ", ".join(prose(one) for one in cell if not is_missing(one))
    return canonical(round(cell, 6) if isinstance(cell, float) else cell)


@lru_cache(1 << 16)  # names come again and again
def _spelled(text: str) -> str:
    # Which blank stands in a name, and how its accents are composed, nobody sees.
    text = " ".join(unicodedata.normalize("NFC", text).split())
    if text.lower() in ("true", "false"):
        return text.lower()
    if whole := _WHOLE.fullmatch(text):
        return "0" if whole[1] == "-0" else whole[1]
    return text


def cut(text: str, most: int) -> str:
    """At most so many characters."""
    return text if len(text) <= most else text[: most - 1] + "…"


def inert(text: str) -> str:
    """A text for a screen, on which it can move, colour, turn and hide nothing.

    Control characters but for line ends and tabs, marks of direction and halves of characters are
    spelled as JSON spells them.
    """
    return _ACTIVE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def seconds(text: str) -> float:
    """ "90s", "5m", "2h" or a number of seconds, to seconds.

    Raises:
        UserError: it is none of these, or not above 0.
    """
    unit = {"s": 1.0, "m": 60.0, "h": 3600.0}.get(text.strip()[-1:].lower())
    try:
        value = float(text.strip()[:-1]) * unit if unit else float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise UserError(
            "The budget is not a time", expected="such as 90s, 5m or 2h", got=repr(text)
        )
    return value
