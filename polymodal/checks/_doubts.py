"""What a column may mean otherwise than it was taken for: asked, since no table can tell."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import numpy as np

from polymodal.base import arrow
from polymodal.checks._finding import Finding
from polymodal.contract import kind
from polymodal.contract.defaults import of_kind
from polymodal.table import values
from polymodal.table.nothing import is_word
from polymodal.table.read import Table
from polymodal.table.schema import Column, Schema
from polymodal.table.values import short

# So many different values at least are much variety to leave unread.
VARIED = 20
# Numbers that stand for nothing, and in what share of the cells at least.
_STAND_IN = re.compile(
    r"-1|-?9{1,9}(?:\.9+|0*)|-?8{2,9}|-?1e\+?[23]\d|-?32767|-32768|-?2147483647|-2147483648"
)
STANDING = 0.02
# First letters of two bytes and more of UTF-8, read a byte a letter, and one that follows them.
_LEAD = re.compile("[\u00c2-\u00f4][^\x00-\x7f]")
# Shares of cells that say that they hold several labels, or that values come back.
SEVERAL, REPEATED = 0.1, 0.5


def doubts(train: Table, schema: Schema) -> list[Finding]:
    """What may be meant otherwise: words, labels joined in a cell, groups, columns left unread."""
    found: list[Finding] = []
    for target in schema.targets:
        found += _words(train, target)
    for column in schema:
        found += _joined(train, column) + _either(train, column) + _stand_ins(train, column)
        found += _garbled(train, column)
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


def _stand_ins(train: Table, column: Column) -> list[Finding]:
    """A number that keeps coming back far from all others: one that programs write for nothing."""
    data = train.data.column(column.name)
    if column.kind != "number" or not arrow.is_number(data.type):
        return []
    cells = np.array([float(c) for c in data.drop_null().to_pylist()])
    findings = []
    for number in (cells.min(), cells.max()) if len(cells) else ():
        rest, count = cells[cells != number], int((cells == number).sum())
        if count < STANDING * len(cells) or count < 3 or len(rest) < count:
            continue
        far = float(np.abs(rest - number).min()) > float(np.ptp(rest))
        if far and _STAND_IN.fullmatch(f"{number:.15g}"):
            what = f"{count:,} cells of '{column.name}' are {number:.15g}, far from all others"
            advice = f"If it says that nothing is known: `missing {column.name}={number:.15g}`"
            findings.append(Finding("warning", what, count, advice=advice))
    return findings


def _joined(train: Table, column: Column) -> list[Finding]:
    """Names that look like several labels in one cell."""
    data = train.data.column(column.name)
    if column.kind not in ("category", kind.worded()) or not arrow.is_text(data.type):
        return []
    cells = [cell for cell in train.cells(column.name) if cell is not None]
    if not cells:
        return []
    most = values.joins(cells)

    def few(parts: Counter[Any]) -> bool:
        return 2 * len(parts) <= len(set(cells))

    for mark in (*values.SEPARATORS, *values.RARER):
        joined = [cell for cell in cells if mark in cell.strip(mark)]
        parts: Counter[Any] = Counter(p.strip() for cell in cells for p in cell.split(mark))
        # Labels come back in other company; "Paris, France" does not.
        come_back = len(joined) >= SEVERAL * len(cells) and len(parts) < len(set(cells)) + 1
        if column.kind == kind.worded():
            # The words of texts are many, and labels few.
            come_back, most = len(joined) >= SEVERAL * len(cells) and few(parts), None
        if come_back or mark == most:
            alone = sum(cell.strip() in parts for cell in set(cells) - set(joined))
            if not alone and len(parts) > len(set(joined)) / 2 and mark != most:
                continue
            what = f"{len(joined):,} of {len(cells):,} cells of '{column.name}' hold several names"
            what += f" between {mark!r}"
            advice = f"If each is a label of its own: `kind {column.name}=set`"
            return [Finding("warning", what, len(joined), values.short(joined[0]), advice)]
    return []


def _garbled(train: Table, column: Column) -> list[Finding]:
    """Texts in UTF-8 that a program took for a Western encoding: "cafÃ©" for "café"."""
    if not arrow.is_text(train.data.column(column.name).type):
        return []
    cells = [cell for cell in train.cells(column.name) if cell is not None]
    meant = {cell: right for cell in cells if (right := _meant(cell)) is not None}
    if not meant:
        return []
    count, (cell, right) = sum(cell in meant for cell in cells), next(iter(meant.items()))
    what = f"{count:,} of {len(cells):,} cells of '{column.name}' were UTF-8 read as something else"
    advice = f"Write the table again from its source, so that {short(cell)} is {short(right)}"
    return [Finding("warning", what, count, short(cell), advice)]


def _meant(text: str) -> str | None:
    """What a garbled text was; None if it is none, as nearly every text with such letters is."""
    if not _LEAD.search(text):
        return None
    for encoding in ("cp1252", "latin-1"):
        try:
            return text.encode(encoding).decode("utf-8")
        except UnicodeError:
            continue
    return None


def _skipped(train: Table, schema: Schema, name: str, why: str) -> list[Finding]:
    """A column with much in it that no model reads, or whose values say which rows go together."""
    data = train.data.column(name)
    if not arrow.is_plain(data.type):
        return [Finding("warning", f"No model reads '{name}': {why}", len(data) - data.null_count)]
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
