"""What all sources are brought to: one way to say "missing", one string type, lists as lists."""

from __future__ import annotations

import ast
import csv
import json
import re
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from polymodal.base.arrow import is_text
from polymodal.table.nothing import MARKS
from polymodal.table.readers._spelled import spelled_out


def plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column without dictionaries and extension types; "", NaN and MARKS are null.

    Strings that are all lists ("[1, 2]", "['a', 'b']" or "{a,b}", as CSV holds them) become lists,
    so that one table reads alike from every format.
    """
    if isinstance(column.type, pa.BaseExtensionType):
        column = pa.chunked_array([chunk.storage for chunk in column.chunks])
    if pa.types.is_run_end_encoded(column.type):
        column = pc.run_end_decode(column)
    column = spelled_out(column)
    if is_text(column.type):
        column = column.cast(pa.large_string())
        column = pc.if_else(
            pc.is_in(column, pa.array(MARKS, pa.large_string())),
            pa.scalar(None, column.type),
            column,
        )
        return _lists(column) or column
    if pa.types.is_floating(column.type):
        return pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)
    return column


def _lists(column: pa.ChunkedArray) -> pa.ChunkedArray | None:
    """The lists that a column's strings spell, or None unless all of them do."""
    like_list = pc.match_substring_regex(column, r"(?s)^\s*(\[.*\]|\{.*\}|set\(\))\s*$")
    if not pc.all(like_list, min_count=1).as_py():
        return None
    try:
        return pa.chunked_array([pa.array([_list(cell) for cell in column.to_pylist()])])
    except (ValueError, SyntaxError, TypeError, OverflowError, RecursionError, MemoryError):
        return None  # text in brackets, or a mixture that no Arrow list can hold


def _list(text: str | None) -> Any:
    if text is None:
        return None
    text = text.strip()
    braced = text[0] != "["
    if braced:  # as Python prints sets and PostgreSQL arrays; what is in order keeps it
        text = "[]" if text == "set()" else f"[{text[1:-1]}]"
    try:
        return json.loads(text)
    except ValueError:
        try:
            return ast.literal_eval(text)
        except (ValueError, SyntaxError):
            if not braced or re.search(r"[:={}\n]", text):
                raise  # an object, a template, a text
            names = next(csv.reader([text[1:-1]], skipinitialspace=True))
            return [None if name == "NULL" else name for name in names]
