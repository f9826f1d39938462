"""Rows of a table as one looks at them: each cell as its kind draws it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from html import escape
from typing import Any

import numpy as np

from polymodal.base.errors import UserError
from polymodal.base.spelling import cut
from polymodal.contract import kind
from polymodal.modalities._drawing import CHARACTERS, words
from polymodal.prepared.cells import cells
from polymodal.table.media import Media
from polymodal.table.read import Table
from polymodal.table.schema import Column, Schema

# In one page: pictures and curves, cells of a row's numbers and categories.
PICTURES, CELLS = 200, 12
# Cells that tell how a column is drawn, such as which axis of a series is time.
SAMPLE = 20


class Examples:
    """Rows of a table as HTML, until PICTURES pictures and curves have been drawn.

    Args:
        table: what was measured.
        schema: its input columns are shown.
    """

    def __init__(self, table: Table, schema: Schema) -> None:
        self.table, self.schema = table, schema
        self.left = PICTURES
        self.drawings: dict[str, Callable[[Any], str]] = {}

    def html(self, row: int) -> str:
        """The input cells of the row with a number."""
        single = [c for c in self.schema.inputs if not kind.of(c.kind).joint]
        joint = [c for c in self.schema.inputs if kind.of(c.kind).joint]
        shown = [f"<figure>{self._one(column, row)}</figure>" for column in single]
        pairs = [
            f"<dt>{escape(cut(c.name, 40))}</dt><dd>{self.value(c.name, row)}</dd>"
            for c in joint[:CELLS]
        ]
        if len(joint) > CELLS:
            pairs.append(f"<dt>…</dt><dd>and {len(joint) - CELLS} more</dd>")
        table = f"<dl>{''.join(pairs)}</dl>" if pairs else ""
        return f'<div class="cells">{"".join(shown)}{table}</div>'

    def cell(self, name: str, row: int) -> str:
        """One cell as its kind draws it; words where there is none to draw."""
        column = self.schema.column(name)
        cell = next(cells(self.table, [column], np.array([self.table.place(row)])))
        if cell is None:
            return f"<p>{words(None)}</p>"
        if isinstance(cell, Media):
            if not self.left:
                return f"<p><i>{escape(cut(cell.label, CHARACTERS))}</i></p>"
            self.left -= 1
        try:
            return self._drawing(column)(cell)
        except UserError as error:
            return f"<p><i>{escape(cut(error.what, CHARACTERS))}</i></p>"

    def value(self, name: str, row: int) -> str:
        """A number, category or set; nothing where the name is of several columns together."""
        known = name in self.table.names
        return words(self._value(self.schema.column(name), row), 40) if known else ""

    def _one(self, column: Column, row: int) -> str:
        caption = f"<figcaption>{escape(cut(column.name, 40))}</figcaption>"
        return caption + self.cell(column.name, row)

    def _drawing(self, column: Column) -> Callable[[Any], str]:
        """How a column's cells are drawn."""
        if column.name not in self.drawings:
            self.drawings[column.name] = kind.of(column.kind).drawing(lambda: self._sample(column))
        return self.drawings[column.name]

    def _sample(self, column: Column) -> Iterator[Any]:
        some = np.arange(min(SAMPLE, len(self.table)))
        return (cell for cell in cells(self.table, [column], some) if cell is not None)

    def _value(self, column: Column, row: int) -> Any:
        return self.table.data.column(column.name)[self.table.place(row)].as_py()
