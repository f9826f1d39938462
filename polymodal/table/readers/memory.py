"""Tables that are already in memory, and JSON lines: rows or columns of Python values."""

from __future__ import annotations

import json
import reprlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from polymodal.base.errors import UserError
from polymodal.table import chat
from polymodal.table.readers import coco, columnar
from polymodal.table.readers._cells import cell as as_held
from polymodal.table.readers.separated import check_names

# Levels of lists in a cell: of a clip three, and somebody may wrap it.
DEEPEST = 16
# Names under which a JSON file has its rows.
_ROWS = ("data", "rows", "records", "items", "results", "examples", "instances")


def read_json(path: Path) -> tuple[pa.Table, tuple[str, ...]]:
    """JSON lines (one object a row), or one JSON list of objects.

    In a .json file also the other shapes that pandas writes, rows under a name ("data"), and
    annotations of pictures as COCO has them.

    Returns:
        The table, and what is not in it that one might expect.

    Raises:
        UserError: a line that is no JSON object (with its number), or not UTF-8.
    """
    whole = _object(path) if path.suffix.lower() == ".json" else None
    if whole is not None and coco.fits(whole):
        found, notes = coco.rows(whole, path)
        return from_rows(found, str(path)), notes
    if whole is not None:
        return _shaped(whole, str(path)), ()
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
    return from_rows(rows, str(path)), ()


def _object(path: Path) -> dict[str, Any] | None:
    """What a file holds if it is one object with lists or objects in it; None otherwise."""
    content = path.read_bytes()
    try:
        found = json.loads(content) if content.lstrip().startswith(b"{") else None
    except (ValueError, RecursionError):  # rows, a line each, or broken: that is told with its line
        return None
    nested = isinstance(found, dict) and any(isinstance(v, list | dict) for v in found.values())
    return found if nested else None


def _shaped(whole: Mapping[str, Any], source: str) -> pa.Table:
    """One JSON object as a table: columns of lists or of rows by name, or rows under a name."""
    values = list(whole.values())
    names, lines = whole.get("columns"), whole.get("data")
    if (
        isinstance(names, list)
        and isinstance(lines, list)
        and all(isinstance(line, list) and len(line) == len(names) for line in lines)
    ):
        return from_rows([dict(zip(names, line, strict=True)) for line in lines], source)
    lists_of_rows = {
        name: lines
        for name, lines in whole.items()
        if isinstance(lines, list) and lines and isinstance(lines[0], Mapping)
    }
    for name, lines in lists_of_rows.items():
        if name in _ROWS or len(whole) == 1:
            return from_rows(lines, source)
    if all(isinstance(value, Mapping) for value in values):
        # Which of both are numbered are the rows.
        if all(name.isdecimal() for name in whole):
            return from_rows(values, source)
        if all(values) and all(name.isdecimal() for inner in values for name in inner):
            return from_columns({n: list(v.values()) for n, v in whole.items()}, source)
    lists = len(values) > 1 and all(isinstance(v, list) for v in values)
    if lists and len({len(v) for v in values}) == 1:
        return from_columns(whole, source)
    return from_rows([whole], source)


def from_rows(rows: Sequence[Any], source: str) -> pa.Table:
    """Rows as mappings to a table; a name that a row lacks is a missing cell.

    Raises:
        UserError: a row is no mapping, or a column mixes types.
    """
    names: dict[str, None] = {}
    rows = chat.unfolded(rows, source)
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
                got=f"{type(value).__name__} in row {i}",
            )
    try:
        return pa.array(_written(values))
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
            got = f"{str(error)[:200]} (row {_stray(values)})"
            if not isinstance(next(v for v in values if v is not None), list | tuple | Mapping):
                raise UserError(
                    f"{source}: column '{name}' holds values of a type that no table has",
                    expected="numbers, texts, dates, lists of them, bytes or arrays",
                    got=got,
                    do="convert them before",
                ) from error
        raise UserError(
            f"{source}: column '{name}' mixes types of values",
            expected="values of one type",
            got=got,
            do="convert them, or write None where a value is missing",
        ) from error


def _written(values: list[Any]) -> list[Any]:
    """Numbers among texts as a CSV file of them has them, lists of lists that hold both (boxes
    with their classes) in JSON; other values as they are."""
    kinds = {type(one) for one in values} - {type(None)}
    if kinds == {list} and any(_is_mixed(part) for one in values if one for part in one):
        return [None if one is None else json.dumps(one, ensure_ascii=False) for one in values]
    if str not in kinds or not kinds <= {str, bool, int, float}:
        return values
    return [None if one is None or one != one else str(one) for one in values]


def _is_mixed(part: Any) -> bool:
    """Whether it is a list that holds numbers and texts."""
    kinds = {type(one) for one in part} if isinstance(part, list) else set()
    return str in kinds and bool(kinds & {int, float}) and kinds <= {str, int, float, type(None)}


def _stray(values: Sequence[Any]) -> int:
    """The first row at which a column can no longer be held."""
    low, high = 0, len(values)
    while low < high - 1:
        middle = (low + high) // 2
        try:
            pa.array(values[:middle])
            low = middle
        except (pa.ArrowException, ValueError, TypeError):
            high = middle
    return low


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


def held(source: Any) -> pa.Table:
    """The rows of an object; UserError of one that holds no table."""
    called = f"the given {type(source).__name__}"
    if isinstance(source, pa.Table):
        return columnar.class_names(source)
    if isinstance(source, pa.RecordBatch):
        return columnar.class_names(pa.Table.from_batches([source]))
    package = type(source).__module__.partition(".")[0]
    if package == "datasets":
        return columnar.from_datasets(source)
    if package == "pandas" and hasattr(source, "columns"):
        return from_pandas(source, called)
    if isinstance(source, Mapping):
        return from_columns(source, called)
    if isinstance(source, Sequence):
        return from_rows(source, called)
    raise UserError(
        f"A table cannot be read from {called}",
        expected="a path, a pandas DataFrame, a pyarrow Table, a datasets.Dataset, a list of "
        "mappings or a mapping of lists",
        do="make one of these of it: `pandas.DataFrame(...)`, or `list(...)` of an iterator",
    )
