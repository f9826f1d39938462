"""A table's cells as forms take them, one at a time, and the hashes of their contents."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from polymodal.base.errors import UserError
from polymodal.contract import kind
from polymodal.prepared.cache import Files
from polymodal.table import cuts
from polymodal.table.media import Media
from polymodal.table.read import Table
from polymodal.table.schema import Column

# Cells whose spelling is held in memory at a time.
PART = 256


def cells(
    table: Table, columns: Sequence[Column], rows: np.ndarray[Any, Any] | None = None
) -> Iterator[Any]:
    """A modality's cells as `Form.fit` and `Form.encode` take them, None where missing.

    A cell of media is a Media, of a joint kind a mapping of columns to values, of any other what
    the kind reads. All but those of a joint kind are taken from the table one by one, so that
    encoded bytes are never all in memory. UserError at a cell that is no media.

    Args:
        columns: one, or of a joint kind several.
        rows: which rows, in this order; all by default.
    """
    rows = np.arange(len(table)) if rows is None else rows
    room = kind.of(columns[0].kind)
    if not room.joint:
        for row, value in _values(table, columns[0], rows):
            yield _cell(table, columns[0], room, row, value)
        return
    names = [c.name for c in columns]
    part = table.take(rows)
    for values in zip(*(part.cells(name) for name in names), strict=True):
        missing = all(value is None for value in values)
        yield None if missing else dict(zip(names, values, strict=True))


def content_keys(
    table: Table, column: Column, files: Files
) -> tuple[list[bytes | None], dict[int, str]]:
    """Hashes of a column's contents, row by row, None where missing or unreadable.

    Args:
        column: of a kind that is not joint.

    Returns:
        The keys, and for each unreadable row the reason.
    """
    room = kind.of(column.kind)
    keys: list[bytes | None] = []
    reasons: dict[int, str] = {}
    for row, value in _values(table, column, np.arange(len(table))):
        key = None
        try:
            cell = _cell(table, column, room, row, value)
            if cell is not None:
                key = files.key(cell) if room.media else room.key(column.kind, cell)
        except UserError as error:
            reasons[row] = error.what
        keys.append(key)
    return keys, reasons


class Contents:
    """A table's columns by content: each is hashed when it is first asked for, and once.

    Args:
        table: whose rows the keys are of.
        cache: where files' hashes are remembered.
    """

    def __init__(self, table: Table, cache: Path) -> None:
        self.table, self.cache = table, cache
        self._found: dict[str, tuple[list[bytes | None], dict[int, str]]] = {}

    def keys(self, column: Column) -> tuple[list[bytes | None], dict[int, str]]:
        """As `content_keys`."""
        if column.name not in self._found:
            with Files(self.cache) as files:
                self._found[column.name] = content_keys(self.table, column, files)
        return self._found[column.name]

    def slice(self, start: int, stop: int, columns: Sequence[Column]) -> Contents:
        """The same of some rows, numbered anew: those `columns` are not hashed again."""
        part = Contents(self.table.slice(start, stop), self.cache)
        for column in columns:
            keys, reasons = self.keys(column)
            own = {row - start for row in reasons if start <= row < stop}
            told = {row: _why(part.table, column, row) for row in sorted(own)}
            part._found[column.name] = keys[start:stop], told
        return part


def content(cell: Any) -> str:
    """What a cell holds, wherever it lies: equal for equal cells."""
    return cell.key() if isinstance(cell, Media) else repr(cell)


def digest(contents: Contents, columns: Sequence[Column]) -> str:
    """Hash of a table's names and cells, wherever they lie; media count by their contents.

    Args:
        columns: those whose kind is known.
    """
    table = contents.table
    found, readers = hashlib.blake2b(digest_size=16), kind.readers()
    media = {c.name: c for c in columns if c.kind in readers and readers[c.kind].media}
    for name in table.names:
        found.update(repr(name).encode())
        if name in media:
            keys, _ = contents.keys(media[name])
            found.update(b"".join(key or bytes(16) for key in keys))
            continue
        # Values, not Arrow's buffers: what these hold under a missing cell differs by chance.
        column = table.data.column(name)
        for start in range(0, len(table), PART):
            found.update(repr(column.slice(start, PART).to_pylist()).encode())
    return found.hexdigest()


def _why(table: Table, column: Column, row: int) -> str:
    """Why a cell cannot be read, in the words of its row."""
    room = kind.of(column.kind)
    try:
        cell = _cell(table, column, room, row, table.data.column(column.name)[row].as_py())
        if room.media and cell is not None:
            content(cell)
    except UserError as error:
        return error.what
    return f"row {table.number(row)}, column '{column.name}' could not be read"


def _values(table: Table, column: Column, rows: np.ndarray[Any, Any]) -> Iterator[tuple[int, Any]]:
    """Rows and what stands there, read in parts; media, which may be large, one by one."""
    data = table.data.column(column.name)
    if kind.of(column.kind).media:
        yield from ((row, data[row].as_py()) for row in rows.tolist())
        return
    for start in range(0, len(rows), PART):
        own = rows[start : start + PART]
        yield from zip(own.tolist(), data.take(pa.array(own, pa.int64())).to_pylist(), strict=True)


def _cell(table: Table, column: Column, room: kind.Kind, row: int, value: Any) -> Any:
    """What stands in a row of a column whose kind is not joint, as its kind reads it."""
    if room.media:
        return table.medium(value, row, column.name)
    return room.read(cuts.pieces(value, column.details.get("cut")))
