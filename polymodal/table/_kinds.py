"""What a column is: what it looks like to everybody, and what the kinds say."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa

from polymodal.base.arrow import holds_binary
from polymodal.base.errors import UserError
from polymodal.contract.kind import Guess, Seen, kinds
from polymodal.table.media import kind_of_array, kind_of_content, kind_of_name
from polymodal.table.read import Table
from polymodal.table.values import MOST, short

# Encoded media are looked into only so often: each look may open a file.
SAMPLE = 50


def guess(table: Table, name: str) -> Guess:
    """The kind of an input column; "skip" if no model can learn from it."""
    data = table.data.column(name)
    if data.null_count == len(data):
        return Guess.skip(f"all {len(data):,} cells are missing")
    column = Seen(name, data)
    if column.is_plain:
        cells = column.cells
        if len(cells) == len(data) and len(set(cells)) == 1:
            return Guess.skip(f"constant: always {short(cells[0])}")
        named = _media_names(cells)
        if named is not None:
            return named
    for kind in kinds().values():
        found = kind.sniff(column)
        if found is not None:
            return found
    if pa.types.is_struct(data.type) or holds_binary(data.type):
        return _encoded(table, name)
    return Guess.skip("nested values that no kind stands for, or nothing but empty lists")


def _encoded(table: Table, name: str) -> Guess:
    """Bytes and structs: by what the files begin with, else by their names."""
    column = table.data.column(name)
    present = np.flatnonzero(column.is_valid().to_numpy())
    rows = present[np.linspace(0, len(present) - 1, min(SAMPLE, len(present))).astype(int)]
    found: Counter[str | None] = Counter()
    try:
        for media in table.media(name, rows.tolist()):
            if media is not None and media.values is not None:
                found[kind_of_array(np.asarray(media.values))] += 1
            elif media is not None:
                by_name = kind_of_name(media.path or "")
                found[by_name if media.size is None and by_name else _peek(media.head)] += 1
    except UserError as error:
        return Guess.skip(f"cannot be read as media: {error.what}")
    if not found:
        return Guess.skip("no cell holds anything")
    kind, count = found.most_common(1)[0]
    if kind is None or count < MOST * found.total():
        return Guess.skip("bytes or nested values of no known media format")
    return Guess(kind, f"{count} of {found.total()} files looked into are {kind}")


def _peek(head: Any) -> str | None:
    return kind_of_content(head(64))


def _media_names(cells: list[Any]) -> Guess | None:
    """Paths and URLs, by their suffixes."""
    if not isinstance(cells[0], str):
        return None
    kinds = Counter(kind_of_name(cell) for cell in cells)
    named = kinds.total() - kinds[None]
    if named < MOST * kinds.total():
        return None
    del kinds[None]
    kind, count = kinds.most_common(1)[0]
    if count < MOST * named:
        mixed = " and ".join(sorted(kind for kind in kinds if kind))
        return Guess.skip(f"mixes {mixed} files: give each kind a column of its own")
    assert kind is not None
    suffixes = Counter(cell.rpartition(".")[2].lower() for cell in cells)
    return Guess(
        kind, f"{count / len(cells):.0%} are names of .{suffixes.most_common(1)[0][0]} files"
    )
