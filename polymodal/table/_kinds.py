"""What a column is: what it looks like to everybody, and what the kinds say."""

from __future__ import annotations

import pyarrow as pa

from polymodal.base.arrow import holds_binary, is_text
from polymodal.contract.kind import Guess, Seen, kinds
from polymodal.table import _files
from polymodal.table.fetch import struck
from polymodal.table.nothing import is_word
from polymodal.table.read import Table
from polymodal.table.values import short


def guess(table: Table, name: str) -> Guess:
    """The kind of an input column; "skip" if no model can learn from it."""
    data = table.data.column(name)
    if data.null_count == len(data):
        return Guess.skip(f"all {len(data):,} cells are missing")
    column = Seen(name, data)
    if column.is_plain:
        cells = column.cells
        if len(cells) == len(data) and len(set(cells)) == 1:
            return Guess.skip(f"constant: always {short(struck(str(cells[0])))}")
        # "None" among names of files is no name.
        known = [c for c in cells if not (isinstance(c, str) and is_word(c))]
        named = _files.guess(table, name, known) if known and not column.is_numeric else None
        if named is not None:
            return named
    if column.levels == 1 and is_text(column.inner):
        listed = _files.lists(table, column.cells)
        if listed is not None:
            return listed
    for kind in kinds().values():
        # What is nothing but numbers is no file, and nobody need look into each cell for one.
        found = None if kind.media and column.is_numeric else kind.sniff(column)
        if found is not None:
            return found
    if pa.types.is_struct(data.type) or holds_binary(data.type):
        return _files.looked_into(table, name)
    if column.levels and pa.types.is_null(column.inner):
        return Guess.skip("nothing but empty lists")
    return Guess.skip(f"nested values that no kind stands for ({data.type})"[:200])
