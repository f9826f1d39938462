"""What all sources are brought to: one way to say "missing", one string type, lists as lists."""

from __future__ import annotations

import ast
import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from polymodal.base.arrow import holds_binary, is_text
from polymodal.base.errors import UserError

# What programs write where there is nothing, and nobody else writes. "NA" may be a name: the column
# decides (`table.reading`).
MARKS = ("", "<NA>", "#N/A", "#N/A N/A", "NaT", "\\N", "(null)")
# What a compressed column may grow to: this, or so many times what is stored of it.
MOST_BYTES = 512 * 2**20
EXPANSION = 50


def check_names(names: Sequence[str], source: str) -> None:
    """UserError if a column name occurs twice."""
    counts = Counter(names)
    twice = sorted(name for name, count in counts.items() if count > 1)
    if twice:
        raise UserError(
            f"{source} has columns of the same name",
            expected="every name once",
            got=", ".join(f"'{name}' {counts[name]} times" for name in twice[:8]),
            do="rename or remove them",
        )


def plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column without dictionaries and extension types; "", NaN and MARKS are null.

    Strings that are all lists ("[1, 2]" or "['a', 'b']", as CSV holds them) become lists, so that
    one table reads alike from every format.
    """
    if isinstance(column.type, pa.BaseExtensionType):
        column = pa.chunked_array([chunk.storage for chunk in column.chunks])
    if pa.types.is_run_end_encoded(column.type):
        column = pc.run_end_decode(column)
    if pa.types.is_dictionary(column.type):
        _refuse_bomb(column)
        column = column.cast(column.type.value_type)
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


def _refuse_bomb(column: pa.ChunkedArray) -> None:
    """UserError if a few values, named over and over, are far more memory than the column is."""
    size = 0
    for chunk in column.chunks:
        values = chunk.dictionary
        if is_text(values.type) or holds_binary(values.type):
            counts = np.zeros(len(values), np.int64)
            codes = chunk.indices.drop_null().to_numpy(zero_copy_only=False)
            counts += np.bincount(codes, minlength=len(values))[: len(values)]
            lengths = pc.fill_null(pc.binary_length(values), 0).to_numpy(zero_copy_only=False)
            size += int((counts * lengths.astype(np.int64)).sum())
    if size > max(MOST_BYTES, EXPANSION * column.nbytes):
        raise UserError(
            "A column takes far more memory than its file",
            expected=f"at most {MOST_BYTES / 2**20:,.0f} MiB, or {EXPANSION} times what is stored",
            got=f"{size / 2**20:,.0f} MiB",
            do="shorten the values that occur over and over",
        )


def _lists(column: pa.ChunkedArray) -> pa.ChunkedArray | None:
    """The lists that a column's strings spell, or None unless all of them do."""
    like_list = pc.match_substring_regex(column, r"(?s)^\s*\[.*\]\s*$")
    if not pc.all(like_list, min_count=1).as_py():
        return None
    try:
        return pa.chunked_array([pa.array([_list(cell) for cell in column.to_pylist()])])
    except (ValueError, SyntaxError, TypeError, OverflowError, RecursionError, MemoryError):
        return None  # text in brackets, or a mixture that no Arrow list can hold


def _list(text: str | None) -> Any:
    if text is None:
        return None
    try:
        return json.loads(text)
    except ValueError:
        return ast.literal_eval(text.strip())
