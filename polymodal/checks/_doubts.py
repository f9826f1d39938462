"""What a column may mean otherwise than it was taken for: asked, since no table can tell."""

from __future__ import annotations

from collections import Counter
from typing import Any

from polymodal.base import arrow
from polymodal.checks._finding import Finding
from polymodal.contract import kind
from polymodal.contract.task import of_kind
from polymodal.table import values
from polymodal.table.nothing import is_word
from polymodal.table.read import Table
from polymodal.table.schema import Column, Schema
from polymodal.table.values import short

# So many different values at least are much variety to leave unread.
VARIED = 20
# Shares of cells that say that they hold several labels, or that values come back.
SEVERAL, REPEATED = 0.1, 0.5


def doubts(train: Table, schema: Schema) -> list[Finding]:
    """What may be meant otherwise: words, labels joined in a cell, groups, columns left unread."""
    found: list[Finding] = []
    for target in schema.targets:
        found += _words(train, target)
    for column in schema:
        found += _joined(train, column) + _either(train, column)
    for name, why in schema.skipped.items():
        if name != schema.group and why not in ("dropped", "declared"):
            found += _skipped(train, schema, name, why)
    return found


def _words(train: Table, target: Column) -> list[Finding]:
    """Classes that may say that the class is not known."""
    task = of_kind(target.kind)
    if task is None or not task.one_class:
        return []
    counts = Counter(str(cell).strip() for cell in train.cells(target.name) if cell is not None)
    findings = []
    for word, count in counts.items():
        if is_word(word):
            what = (
                f"{count:,} rows have the '{target.name}' {short(word)}, which is taken for a class"
            )
            advice = f"If it says that none is known: `missing {target.name}={word}`"
            findings.append(Finding("warning", what, count, advice=advice))
    return findings


def _either(train: Table, column: Column) -> list[Finding]:
    """Numbers whose mark may part thousands or decimals, in a table that does not tell which."""
    cell, readers = column.details.get("open"), kind.readers()
    if cell is None or column.kind not in readers:
        return []
    if not readers[column.kind].is_ordered(column.kind):
        return []
    taken, other = ("thousands", "decimals") if "," in cell else ("decimals", "thousands")
    what = f"The mark in the cells of '{column.name}' is read as that of {taken}: the table shows"
    advice = f"If it is that of {other}: `decimal {column.name}=,`"
    return [Finding("info", f"{what} nowhere which it is", 1, short(cell), advice)]


def _joined(train: Table, column: Column) -> list[Finding]:
    """Names that look like several labels in one cell."""
    if column.kind != "category" or not arrow.is_text(train.data.column(column.name).type):
        return []
    cells = [cell for cell in train.cells(column.name) if cell is not None]
    most = values.joins(cells)
    for mark in values.SEPARATORS:
        joined = [cell for cell in cells if mark in cell.strip(mark)]
        parts: Counter[Any] = Counter(p.strip() for cell in cells for p in cell.split(mark))
        # Labels come back in other company; "Paris, France" does not.
        come_back = len(joined) >= SEVERAL * len(cells) and len(parts) < len(set(cells)) + 1
        if come_back or mark == most:
            alone = sum(cell.strip() in parts for cell in set(cells) - set(joined))
            if not alone and len(parts) > len(set(joined)) / 2 and mark != most:
                continue
            what = f"{len(joined):,} of {len(cells):,} cells of '{column.name}' hold several names"
            what += f" between '{mark}'"
            advice = f"If each is a label of its own: `kind {column.name}=set`"
            return [Finding("warning", what, len(joined), values.short(joined[0]), advice)]
    return []


def _skipped(train: Table, schema: Schema, name: str, why: str) -> list[Finding]:
    """A column with much in it that no model reads, or whose values say which rows go together."""
    data = train.data.column(name)
    if not arrow.is_plain(data.type):
        return []
    cells = [cell for cell in data.to_pylist() if cell is not None]
    different = len(set(cells))
    if different <= VARIED:
        return []
    if schema.group is None and len(cells) - different >= REPEATED * len(cells) - 1:
        what = f"The {different:,} values of '{name}' come back: rows of one may belong together"
        advice = f"If so, keep them on one side of every split: `group {name}`"
        return [Finding("warning", what, len(cells) - different, short(cells[0]), advice)]
    if name in schema.identifiers and (why.startswith("an index") or different == len(cells)):
        return []
    what = f"No model reads '{name}', which has {different:,} different values ({why})"
    advice = f"If it tells something, say what it is: `kind {name}=text`, for example"
    return [Finding("warning", what, different, advice=advice)]
