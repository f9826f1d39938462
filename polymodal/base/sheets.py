"""Columns as a text in CSV."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

# What a spreadsheet takes for the start of a formula, blanks before it or not; and what it may.
_FORMULA = re.compile(r"[\s\x00]*[=+\-@\uff1d\uff0b\uff0d\uff20]|[\t\r\n]")
_NUMBER = re.compile(r"[+-]?(\d+([.,]\d+)*|[.,]\d+)([eE][+-]?\d+)?\s?%?")


def csv_of(columns: Mapping[str, Sequence[Any]]) -> str:
    """Columns of equal length as CSV with a header.

    A text that a spreadsheet would compute ("=1+1") gets an apostrophe before it, as OWASP advises;
    one that is a number stays as it is.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow([_plain(name) for name in columns])
    writer.writerows([_plain(c) for c in row] for row in zip(*columns.values(), strict=True))
    return text.getvalue()


def _plain(cell: Any) -> Any:
    if isinstance(cell, list):
        return json.dumps(cell, ensure_ascii=False)
    if isinstance(cell, str) and _FORMULA.match(cell) and not _NUMBER.fullmatch(cell):
        return f"'{cell}"
    return cell
