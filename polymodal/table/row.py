"""One row given as a mapping, told from a table given as a mapping of columns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sized
from typing import Any

import numpy as np

from polymodal.table.schema import Column


def is_row(source: Any, inputs: Iterable[Column], channels: Mapping[str, int]) -> bool:
    """Whether `source` maps columns to one cell each, rather than to a list of cells.

    A value without a length is a cell, and then all are. Lists and arrays can be either; it is a
    row if every one of them has the axes of a single cell of its column's kind.

    Args:
        source: anything; what is no mapping is no row.
        inputs: the columns that may be given.
        channels: numbers a step of each series column, without which axes do not tell.
    """
    if not isinstance(source, Mapping):
        return False
    if not all(map(_has_length, source.values())):
        return True
    known = {column.name: column for column in inputs}
    return all(
        name in known and _is_cell(value, known[name], channels.get(name))
        for name, value in source.items()
    )


def _has_length(value: Any) -> bool:
    return isinstance(value, Sized) and not isinstance(value, str | bytes | bytearray | Mapping)


def _is_cell(value: Any, column: Column, channels: int | None) -> bool:
    try:
        array = np.asarray(value)
    except ValueError:  # ragged: cells of different lengths
        return False
    shape, is_numeric = array.shape, array.dtype.kind in "biuf"
    match column.kind:
        case "image":
            return is_numeric and (len(shape) == 2 or (len(shape) == 3 and shape[2] in (1, 3, 4)))
        case "audio":
            return is_numeric and len(shape) == 1
        case "video":
            return is_numeric and len(shape) == 4
        case "series":
            wide = channels in shape if len(shape) == 2 else channels == 1
            return is_numeric and len(shape) in (1, 2) and wide
        case "text":
            return bool(column.details.get("words")) and array.dtype.kind == "U" and array.ndim == 1
        case "set":
            return array.dtype.kind in "biufU" and array.ndim == 1
        case _:
            return False
