"""Columns whose cells are files: by their names, by what lies there, or by what they begin with."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from polymodal.base.errors import UserError
from polymodal.contract.kind import Guess
from polymodal.table import inline
from polymodal.table.fetch import is_address, struck
from polymodal.table.media import kind_of_array, kind_of_content, kind_of_name, suffix_of
from polymodal.table.read import Table
from polymodal.table.values import MOST, SEPARATORS

# Cells are looked into only so often: each look may open a file.
SAMPLE = 50
# What share of the cells must name files that exist, where names alone do not say that they are.
EXIST = 0.5
ONE = "give each file a column of its own, or a row"


def guess(table: Table, name: str, cells: Sequence[Any]) -> Guess | None:
    """What a column of texts is, if its cells are files or name some; None otherwise."""
    if not isinstance(cells[0], str):
        return None
    some = _some(cells)
    if sum(map(inline.looks_inline, some)) >= MOST * len(some):
        inside = looked_into(table, name)
        return None if inside.kind == "skip" else inside
    joined = [cell for cell in some if len(_joined(cell)) > 1 and not _is_file(table, cell)]
    if len(joined) >= EXIST * len(some):
        several = f"several files in a cell, such as '{struck(joined[0])[:60]}': {ONE}"
        return Guess.skip(several)
    named: Guess | None = _by_name(cells)
    if named is not None and named.kind != "skip" and _is_weak(table, some):
        named = None
    return _unsealed(table, named or _by_place(table, name, some))


def _unsealed(table: Table, found: Guess | None) -> Guess | None:
    """The same, unless the cells came inside an archive, and name what is outside."""
    if found is not None and table.reach.sealed and found.kind != "skip":
        return Guess.identifier(
            f"names of {found.kind} files, of which cells of an archive hold none"
        )
    return found


def lists(table: Table, cells: Sequence[Any]) -> Guess | None:
    """What a column of lists of texts is, if these name files; None otherwise."""
    some = [cell for cell in _some(cells) if len(cell)]
    named = [cell for cell in some if all(one and kind_of_name(one) for one in cell)]
    if not some or len(named) < MOST * len(some):
        return None
    most = max(map(len, named))
    if most > 1:
        return Guess.skip(f"lists of up to {most} files a cell: {ONE}")
    return _unsealed(table, _by_name([cell[0] for cell in named]))


def looked_into(table: Table, name: str) -> Guess:
    """By what the files begin with, else by their names; "skip" if they are no media."""
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
                whole = media.size is None and by_name
                found[by_name if whole else kind_of_content(media.head(64))] += 1
    except UserError as error:
        fields = _fields(column.type)
        return Guess.skip(fields or f"cannot be read as media: {error.what}")
    if not found:
        return Guess.skip("no cell holds anything")
    kind, count = found.most_common(1)[0]
    if kind is None or count < MOST * found.total():
        return Guess.skip("files, bytes or nested values of no known media format")
    return Guess(kind, f"{count} of {found.total()} files looked into are {kind}")


def _fields(kind: pa.DataType) -> str:
    """What objects in cells are, in words; "" if they may be files."""
    if not pa.types.is_struct(kind) or {"bytes", "path"} & {field.name for field in kind}:
        return ""
    names = ", ".join(f"'{field.name}'" for field in list(kind)[:6])
    return f"objects with the fields {names}: give each a column of its own"


def _some(cells: Sequence[Any]) -> list[Any]:
    places = np.linspace(0, len(cells) - 1, min(SAMPLE, len(cells))).astype(int)
    return [cells[i] for i in places]


def _by_name(cells: Sequence[str]) -> Guess | None:
    """Paths and URLs, by their suffixes."""
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
    suffixes = Counter(map(suffix_of, cells))
    return Guess(
        kind, f"{count / len(cells):.0%} are names of .{suffixes.most_common(1)[0][0]} files"
    )


def _by_place(table: Table, name: str, some: Sequence[str]) -> Guess | None:
    """Names of files that exist, whatever they end in."""
    there = [cell for cell in some if _is_file(table, cell)]
    if len(set(there)) < 2 or len(there) < EXIST * len(some):
        return None
    if all(cell.strip().isdecimal() for cell in there):
        return None  # numbers, and by chance there are files of these names
    found: Counter[str | None] = Counter()
    for cell in there:
        try:
            media = table.medium(cell, 0, name)
            content = None if media is None else kind_of_content(media.head(64))
        except UserError:
            content = None
        found[content or kind_of_name(cell)] += 1
    kind, count = found.most_common(1)[0]
    if kind is None or count < MOST * found.total():
        return Guess.skip("names of files that exist, of no known media format or of several")
    return Guess(kind, f"{len(there)} of {len(some)} cells looked into name {kind} files")


def _is_weak(table: Table, some: Sequence[str]) -> bool:
    """Whether cells may be names of something else: shops in Australia end in .au too."""
    short = [len(suffix_of(cell)) <= 2 for cell in some]
    return sum(short) > len(some) / 2 and not any(_is_file(table, cell) for cell in some)


def _is_file(table: Table, cell: str) -> bool:
    away = table.base is not None and is_address(table.base)
    if len(cell) > 1000 or is_address(cell) or table.reach.sealed or away:
        return False
    try:
        return os.path.isfile(os.path.join(table.base or "", cell.strip()))
    except ValueError:  # a character that no path has
        return False


def _joined(cell: str) -> list[str]:
    """The names of media that a text joins by a separator or by blanks; [] if it is something
    else."""
    for mark in (*SEPARATORS, None):
        parts = [part for part in cell.split(mark) if part.strip()]
        if len(parts) > 1 and all(map(kind_of_name, parts)):
            return parts
    return []
