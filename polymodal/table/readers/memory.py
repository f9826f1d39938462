"""Tables that are already in memory, and JSON lines: rows or columns of Python values."""

from __future__ import annotations

import json
import reprlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from polymodal.base.errors import UserError
from polymodal.table.readers._cells import cell as as_held
from polymodal.table.readers.plain import check_names

# Levels of lists in a cell: of a clip three, and somebody may wrap it.
DEEPEST = 16


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
    except (ValueError, RecursionError) as error:  # too long a number, too deep a nest
        raise UserError(
            f"{path}, line {number}: broken JSON ({str(error)[:200]})",
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
        arrays[name] = _series(name, series, source)
    return pa.table(arrays)


def _series(name: str, series: Any, source: str) -> pa.Array:
    """A pandas column: sparse ones in full, intervals and periods as texts, in categories too."""
    kind = type(series.dtype).__name__
    if kind == "SparseDtype":
        series = series.sparse.to_dense()
    if kind == "CategoricalDtype" and _is_odd(series.dtype.categories.dtype):
        series = series.astype(object)
    if series.dtype == object or _is_odd(series.dtype):
        return _array(name, series.astype(object), source)
    try:
        return pa.Array.from_pandas(series)
    except (pa.ArrowException, TypeError, ValueError, NotImplementedError):
        return _array(name, series.astype(object), source)


def _is_odd(dtype: Any) -> bool:
    """Whether Arrow has no type for it, or one that nothing here reads."""
    return type(dtype).__name__ in ("IntervalDtype", "PeriodDtype")


def _array(name: str, cells: Iterable[Any], source: str) -> pa.Array:
    values = [as_held(one) for one in cells]
    for i, value in enumerate(values):
        if _depth(value, DEEPEST) < 0:
            raise UserError(
                f"{source}: column '{name}' holds lists in lists, more than {DEEPEST} deep",
                expected="lists of numbers or texts",
                got=f"a {type(value).__name__} in row {i}",
            )
    try:
        return pa.array(values)
    except UnicodeEncodeError as error:
        row = next(i for i, value in enumerate(values) if _is_half(value))
        raise UserError(
            f"{source}: column '{name}' holds half a character in row {row} ({error.reason})",
            expected="texts that UTF-8 can hold",
            got=ascii(values[row])[:200],
            do="write the table again with whole characters",
        ) from error
    except OverflowError as error:
        raise UserError(
            f"{source}: column '{name}' holds a whole number that is too large",
            expected="numbers of at most 64 bits",
            got=str(error)[:200],
            do="write it as text, or with a decimal point",
        ) from error
    except (pa.ArrowException, ValueError, TypeError, RecursionError) as error:
        kinds: dict[str, int] = {}
        for i, value in enumerate(values):
            if value is not None:
                kinds.setdefault(type(value).__name__, i)
        if len(kinds) > 1:
            shown = {kind: reprlib.repr(values[i])[:60] for kind, i in kinds.items()}
            got = ", ".join(f"{kind} (row {kinds[kind]}: {text})" for kind, text in shown.items())
        else:
            got = str(error)[:200]
        raise UserError(
            f"{source}: column '{name}' mixes types of values",
            expected="values of one type",
            got=got,
            do="convert them, or write None where a value is missing",
        ) from error


def _depth(value: Any, most: int) -> int:
    """How many more levels of lists and mappings a cell might have; below 0: it has too many."""
    if most < 0 or not isinstance(value, list | tuple | Mapping):
        return most
    inner = value.values() if isinstance(value, Mapping) else value
    nested = (one for one in inner if isinstance(one, list | tuple | Mapping))
    return min((_depth(one, most - 1) for one in nested), default=most)


def _is_half(value: Any) -> bool:
    """Whether a text in a cell holds half a character."""
    if isinstance(value, Mapping):
        return any(_is_half(one) for pair in value.items() for one in pair)
    if isinstance(value, list | tuple):
        return any(_is_half(one) for one in value)
    return isinstance(value, str) and any("\ud800" <= c <= "\udfff" for c in value)
