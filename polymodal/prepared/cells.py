"""A table's cells as forms take them, one at a time, and the hashes of their contents."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from polymodal.base.errors import UserError
from polymodal.prepared.cache import Files
from polymodal.table.media import Media, resolve
from polymodal.table.read import Table
from polymodal.table.schema import MEDIA, Column

# Cells whose spelling is held in memory at a time.
PART = 256


def cells(
    table: Table, columns: Sequence[Column], rows: np.ndarray[Any, Any] | None = None
) -> Iterator[Any]:
    """A modality's cells as `Form.fit` and `Form.encode` take them, None where missing.

    A media cell is a Media, a text a string or a list of words, a row of a table's numbers,
    categories and sets a mapping. Media and texts are taken from the table one by one, so that
    encoded bytes are never all in memory. UserError at a cell that is no media.

    Args:
        columns: one, or for the table modality several.
        rows: which rows, in this order; all by default.
    """
    rows = np.arange(len(table)) if rows is None else rows
    if columns[0].kind in (*MEDIA, "text"):
        for row in rows.tolist():
            yield _cell(table, columns[0], row)
        return
    names = [c.name for c in columns]
    part = table.take(rows)
    for values in zip(*(part.cells(name) for name in names), strict=True):
        missing = all(value is None for value in values)
        yield None if missing else dict(zip(names, values, strict=True))


def content_keys(
    table: Table, column: Column, files: Files
) -> tuple[list[bytes | None], dict[int, str]]:
    """Hashes of a text or media column's contents, row by row, None where missing or unreadable.

    Returns:
        The keys, and for each unreadable row the reason.
    """
    keys: list[bytes | None] = []
    reasons: dict[int, str] = {}
    for row in range(len(table)):
        key = None
        try:
            cell = _cell(table, column, row)
            if cell is not None:
                key = files.key(cell) if column.kind in MEDIA else _text_key(cell)
        except UserError as error:
            reasons[row] = error.what
        keys.append(key)
    return keys, reasons


def content(cell: Any) -> str:
    """What a cell holds, wherever it lies: equal for equal cells."""
    return cell.key() if isinstance(cell, Media) else repr(cell)


def digest(table: Table, columns: Sequence[Column], files: Files) -> str:
    """Hash of a table's names and cells, wherever they lie; media count by their contents.

    Args:
        columns: those whose kind is known.
    """
    found = hashlib.blake2b(digest_size=16)
    media = {column.name: column for column in columns if column.kind in MEDIA}
    for name in table.names:
        found.update(repr(name).encode())
        if name in media:
            keys, _ = content_keys(table, media[name], files)
            found.update(b"".join(key or bytes(16) for key in keys))
            continue
        # Values, not Arrow's buffers: what these hold under a missing cell differs by chance.
        for start in range(0, len(table), PART):
            found.update(repr(table.slice(start, start + PART).cells(name)).encode())
    return found.hexdigest()


def _cell(table: Table, column: Column, row: int) -> Any:
    """One media or text cell."""
    value = table.data.column(column.name)[row].as_py()
    if column.kind in MEDIA:
        return resolve(value, table.base, f"row {row}, column '{column.name}'")
    return value if value is None or isinstance(value, list) else str(value)


def _text_key(cell: str | list[str]) -> bytes:
    return hashlib.blake2b(json.dumps(cell).encode(), digest_size=16).digest()
