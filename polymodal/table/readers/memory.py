"""Tables that are already in memory, and JSON lines: rows or columns of Python values."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from polymodal.base.errors import UserError
from polymodal.table.media import wav
from polymodal.table.readers.plain import check_names


def read_json(path: Path) -> pa.Table:
    """JSON lines (one object a row), or one JSON list of objects.

    Raises:
        UserError: a line that is no JSON object (with its number), or not UTF-8.
    """
    rows: list[Any] = []
    number, line = 0, b""
    try:
        with open(path, "rb") as file:
            for number, line in enumerate(file, 1):
                if number == 1 and line.lstrip().startswith(b"["):
                    rows = json.loads(line + file.read())
                elif line.strip():
                    rows.append(json.loads(line))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(
            f"{path}, line {number}: broken JSON ({error})",
            expected="one JSON object a line, in UTF-8",
            got=repr(line[:200]),
        ) from error
    return from_rows(rows, str(path))


def from_rows(rows: Sequence[Any], source: str) -> pa.Table:
    """Rows as mappings to a table; a name that a row lacks is a missing cell.

    Raises:
        UserError: a row is no mapping, or a column mixes types.
    """
    names: dict[str, None] = {}
    for i, row in enumerate(rows):
        if not isinstance(row, Mapping):
            raise UserError(
                f"{source}: row {i} is not a mapping of column names to values",
                expected='{"column": value, ...}',
                got=f"{type(row).__name__} {row!r}"[:200],
            )
        names.update(dict.fromkeys(map(str, row)))
    return from_columns({name: [row.get(name) for row in rows] for name in names}, source)


def from_columns(columns: Mapping[str, Iterable[Any]], source: str) -> pa.Table:
    """Columns as sequences of values to a table.

    Arrays of two axes or more become .npy bytes, sounds WAV bytes, pictures PNG bytes.

    Raises:
        UserError: columns of different lengths, one that mixes types, or one that is a single cell.
    """
    for name, cells in columns.items():
        if isinstance(cells, str | bytes | bytearray | Mapping) or not isinstance(cells, Iterable):
            raise UserError(
                f"{source}: column '{name}' is no list of cells",
                expected="a table as a mapping of columns to lists, a cell a row",
                got=f"{type(cells).__name__} {cells!r}"[:200],
                do="predict a single row by `predict_row`, or put it into a list of rows",
            )
    arrays = {str(name): _array(str(name), cells, source) for name, cells in columns.items()}
    lengths = {name: len(array) for name, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        raise UserError(
            f"{source}: the columns differ in length",
            expected="one value a row in every column",
            got=", ".join(f"{name}: {length}" for name, length in lengths.items()),
        )
    return pa.table(arrays)


def from_pandas(frame: Any, source: str) -> pa.Table:
    """A pandas DataFrame without its index.

    Raises:
        UserError: a column mixes types, or two have one name.
    """
    names = [str(name) for name in frame.columns]
    check_names(names, source)
    arrays = {}
    for i, name in enumerate(names):
        series = frame.iloc[:, i]
        if series.dtype == object:
            arrays[name] = _array(name, series, source)
        else:
            arrays[name] = pa.Array.from_pandas(series)
    return pa.table(arrays)


def _array(name: str, cells: Iterable[Any], source: str) -> pa.Array:
    values = [_cell(cell) for cell in cells]
    try:
        return pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
        kinds: dict[str, int] = {}
        for i, value in enumerate(values):
            if value is not None:
                kinds.setdefault(type(value).__name__, i)
        if len(kinds) > 1:
            got = ", ".join(f"{kind} (row {i}: {values[i]!r:.60})" for kind, i in kinds.items())
        else:
            got = str(error)[:200]
        raise UserError(
            f"{source}: column '{name}' mixes types of values",
            expected="values of one type",
            got=got,
            do="convert them, or write None where a value is missing",
        ) from error


def _cell(cell: Any) -> Any:
    """A value as Arrow can hold it."""
    if isinstance(cell, float) and math.isnan(cell):
        return None
    if isinstance(cell, Path):
        return str(cell)
    if isinstance(cell, np.ndarray) and cell.ndim >= 2 and cell.dtype.kind in "biuf":
        file = io.BytesIO()
        np.save(file, cell, allow_pickle=False)
        return file.getvalue()
    if isinstance(cell, Mapping) and cell.get("array") is not None and cell.get("sampling_rate"):
        return {"bytes": wav(cell["array"], int(cell["sampling_rate"])), "path": cell.get("path")}
    if type(cell).__module__.startswith("PIL.") and hasattr(cell, "save"):
        file = io.BytesIO()
        cell.save(file, format="PNG")
        return file.getvalue()
    return cell
