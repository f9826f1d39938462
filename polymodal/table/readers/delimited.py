"""CSV and TSV: every column as strings, so that a code like "007" survives until it is inferred."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from polymodal.base.errors import UserError
from polymodal.table.readers.plain import check_names

if TYPE_CHECKING:
    from _csv import Reader

# Whole cells, so a text "None of them" stays what it is.
NULLS = frozenset({"", "NA", "N/A", "n/a", "#N/A", "<NA>", "NaN", "nan", "null", "NULL", "None"})
# Rows wait as Python lists until they are worth one Arrow batch.
_BATCH = 20_000
# A series written as a list is one long cell.
_LONGEST_CELL = 2**30


def read(path: Path) -> pa.Table:
    """A delimited file with a header; cells in NULLS become null.

    The delimiter is a tab for .tsv and .tab, else whichever of comma, semicolon and tab occurs
    most in the header.

    Raises:
        UserError: empty, not UTF-8, broken quotes, a header that repeats a name, or a row with
            more or fewer cells than the header.
    """
    try:
        with open(path, encoding="utf-8-sig", newline="") as file, _long_cells():
            line = file.readline()
            file.seek(0)
            reader = csv.reader(file, delimiter=_delimiter(path, line), strict=True)
            header = _header(path, next(reader, []))
            schema = pa.schema([(name, pa.large_string()) for name in header])
            return pa.Table.from_batches(_batches(path, reader, schema), schema)
    except UnicodeDecodeError as error:
        raise _not_utf8(path) from error
    except csv.Error as error:
        raise UserError(
            f"{path} has broken quotes ({error})",
            expected='a cell with a quote in it written as "say ""yes"" twice"',
            got=f"trouble in a row that ends at line {reader.line_num}",
        ) from error


def _delimiter(path: Path, header: str) -> str:
    if path.suffix.lower() in (".tsv", ".tab"):
        return "\t"
    return max(",;\t", key=header.count)


def _header(path: Path, cells: list[str]) -> list[str]:
    if not any(cell.strip() for cell in cells):
        raise UserError(f"{path} does not begin with a header line", expected="column names")
    # `DataFrame.to_csv` writes its index without a name.
    names = [cell.strip() or f"column_{i}" for i, cell in enumerate(cells)]
    check_names(names, str(path))
    return names


def _batches(path: Path, reader: Reader, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    width = len(schema)
    rows: list[list[str | None]] = []
    for cells in reader:
        if not cells:  # an empty line
            continue
        if len(cells) != width:
            raise UserError(
                f"{path}, line {reader.line_num}: the row has {len(cells)} cells",
                expected=f"{width}, as in the header ({', '.join(schema.names[:8])})",
                got=str(cells)[:200],
                do="put cells that hold the delimiter in double quotes",
            )
        rows.append([None if cell in NULLS else cell for cell in cells])
        if len(rows) == _BATCH:
            yield _batch(rows, schema)
            rows = []
    if rows:
        yield _batch(rows, schema)


def _batch(rows: list[list[str | None]], schema: pa.Schema) -> pa.RecordBatch:
    columns = [pa.array(cells, pa.large_string()) for cells in zip(*rows, strict=True)]
    return pa.record_batch(columns, schema)


@contextmanager
def _long_cells() -> Iterator[None]:
    """The module's limit is global, so it is put back."""
    before = csv.field_size_limit(_LONGEST_CELL)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _not_utf8(path: Path) -> UserError:
    """Where the first byte is that is not UTF-8."""
    start = 0
    with open(path, "rb") as file:
        for number, line in enumerate(file, 1):
            try:
                line.decode()
            except UnicodeDecodeError as error:
                return UserError(
                    f"{path} is not UTF-8",
                    expected="text in UTF-8",
                    got=f"byte 0x{line[error.start]:02x} at offset {start + error.start}, in line "
                    f"{number} (text in Latin-1 or UTF-16?)",
                    do=f"iconv -f LATIN1 -t UTF-8 {path.name} > utf8.csv",
                )
            start += len(line)
    raise AssertionError("called for a file that is UTF-8")
