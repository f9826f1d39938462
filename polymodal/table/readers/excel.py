"""Excel workbooks: the first sheet, its first row the header."""

from __future__ import annotations

import datetime
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa

from polymodal.base.errors import MissingExtra, UserError
from polymodal.table.readers.separated import check_names

# What Excel shows where a formula failed.
_ERRORS = frozenset({"#N/A", "#REF!", "#VALUE!", "#DIV/0!", "#NAME?", "#NUM!", "#NULL!"})


def read(path: Path) -> pa.Table:
    """The first sheet that holds anything; formulas count by their last result.

    Columns of one type keep it; mixed ones become texts, as a CSV of the sheet would have them.

    Raises:
        UserError: no workbook, no sheet with a header, or columns of one name.
    """
    try:
        import openpyxl
    except ImportError as error:
        raise MissingExtra("openpyxl", "excel", f"Reading {path}") from error
    try:
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
    except (zipfile.BadZipFile, KeyError, ValueError, OSError) as error:
        raise UserError(
            f"{path} is no Excel workbook ({str(error)[:200]})",
            expected="a workbook saved as .xlsx",
            do="save it again as .xlsx, or as CSV in UTF-8",
        ) from error
    try:
        for sheet in book.worksheets:
            rows = [list(row) for row in sheet.iter_rows(values_only=True)]
            rows = [row for row in rows if any(cell is not None for cell in row)]
            if rows:
                return _table(rows, str(path))
    finally:
        book.close()
    raise UserError(f"{path} is empty", expected="a sheet with a header and rows")


def _table(rows: list[list[Any]], source: str) -> pa.Table:
    width = max(len(row) for row in rows)
    rows = [row + [None] * (width - len(row)) for row in rows]
    used = [i for i in range(width) if any(row[i] is not None for row in rows)]
    names = [_text(rows[0][i]) or f"column_{i}" for i in used]
    check_names(names, source)
    return pa.table(
        {n: _column([r[i] for r in rows[1:]]) for n, i in zip(names, used, strict=True)}
    )


def _column(cells: list[Any]) -> pa.Array:
    cells = [None if isinstance(cell, str) and cell in _ERRORS else cell for cell in cells]
    types = Counter(type(cell) for cell in cells if cell is not None)
    numbers = set(types) <= {int, float}
    if len(types) <= 1 or numbers or set(types) <= {datetime.datetime, datetime.date}:
        return pa.array(cells)
    return pa.array([None if cell is None else _text(cell) for cell in cells], pa.large_string())


def _text(cell: Any) -> str:
    """A cell as Excel would write it into a CSV."""
    if cell is None:
        return ""
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return str(cell).strip()
