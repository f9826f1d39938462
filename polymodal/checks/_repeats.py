"""Equal rows, media, texts and groups, within a table and across tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from polymodal.checks import _copies
from polymodal.checks._copies import Array, Keys
from polymodal.checks._finding import Finding
from polymodal.checks._leaks import target_values
from polymodal.contract import kind
from polymodal.contract.defaults import of_kind
from polymodal.prepared.cells import Contents
from polymodal.table.read import Table
from polymodal.table.schema import Column, Schema

# What share of rows makes repetition a warning.
MANY = 0.01


def contents(
    tables: Sequence[Contents], column: Column, max_bad_rows: int
) -> tuple[list[list[Any]], list[Finding]]:
    """A column's cells, comparable across tables (`_copies.contents`); and unreadable ones."""
    found, unreadable = _copies.contents(tables, column)
    findings = []
    for own, reasons in zip(tables, unreadable, strict=True):
        table = own.table
        if reasons:
            what = f"{len(reasons):,} of {len(table):,} cells of '{column.name}' in {table.source}"
            why = [reasons[row] for row in sorted(reasons)]
            findings.append(Finding.unreadable(f"{what} cannot be read", why, max_bad_rows))
    return found, findings


def rows(tables: Sequence[Table], schema: Schema, contents: Keys) -> list[Finding]:
    """Rows with equal inputs, within the training table and across tables."""
    train = tables[0]
    parts, chance = _copies.equal(tables, schema.inputs, contents)
    repeated = np.flatnonzero(_copies.repeats(parts[0]))
    copies = len(repeated) > _copies.explained(chance, len(train) ** 2 / 2)
    findings = []
    if len(repeated):
        what = f"{len(repeated):,} of {len(train):,} rows repeat the inputs of an earlier row"
        advice = "Remove them; else they count twice (splits keep them together)" if copies else ""
        example = f"row {train.number(int(repeated[0]))}"
        severity = "warning" if copies and len(repeated) > MANY * len(train) else "info"
        findings.append(Finding(severity, what, len(repeated), example, advice))
    for table, part in zip(tables[1:], parts[1:], strict=True):
        known = np.flatnonzero(np.isin(part, parts[0]))
        if len(known) > _copies.explained(chance, len(train) * len(table)):
            what = f"{len(known):,} of {len(table):,} rows of {table.source} are also in"
            findings.append(
                Finding(
                    "warning",
                    f"{what} {train.source}",
                    len(known),
                    f"row {table.number(int(known[0]))}",
                    "Remove them from one of the tables: on them a model is measured by memory",
                )
            )
    return findings + (_noise(train, schema, parts[0]) if copies else [])


def _noise(train: Table, schema: Schema, rows: Array) -> list[Finding]:
    """Equal inputs with different classes."""
    findings = []
    for target in schema.targets:
        task = of_kind(target.kind)
        if task is None or not task.one_class:
            continue
        known = target_values(train, target)
        assert known is not None
        pairs = np.unique(np.stack([rows, known])[:, known >= 0], axis=1)
        contradicted = pairs[0][1:][np.diff(pairs[0]) == 0]
        count = int(np.isin(rows, contradicted).sum())
        if count:
            what = f"{count:,} rows have the inputs of another row but not its '{target.name}'"
            first = np.flatnonzero(rows == contradicted[0])[:2].tolist()
            severity = "warning" if count > MANY * len(train) else "info"
            example = f"rows {train.number(first[0])} and {train.number(first[1])}"
            findings.append(Finding(severity, what, count, example, "Correct their labels"))
    return findings


def column(
    tables: Sequence[Table],
    schema: Schema,
    one: Column,
    contents: Keys,
) -> list[Finding]:
    """One medium or long text in several rows that differ otherwise: a group, perhaps split."""
    own = contents[one.name]
    room = kind.of(one.kind)
    if room.joint or not room.groups(tables[0].cells(one.name)):
        return []
    others = [contents[c.name] for c in schema.inputs if c is not one]
    findings = []
    train = tables[0]
    group = train.cells(schema.group) if schema.group else range(len(train))
    seen: dict[Any, tuple[Any, Any]] = {}
    shared = 0
    for row, key in enumerate(own[0]):
        if key is None:
            continue
        rest = tuple(other[0][row] for other in others)
        first = seen.setdefault(key, (group[row], rest))
        # Whole repeated rows are another finding, and a group that holds them all is no problem.
        shared += first[0] != group[row] and first[1] != rest
    if shared:
        what = f"{shared:,} of {len(train):,} rows have the {one.kind} of another row in"
        where = f"'{one.name}' (and not its '{schema.group}')" if schema.group else f"'{one.name}'"
        advice = f"If rows with one {one.kind} belong together, say so: `group COLUMN`"
        advice = "" if schema.group else advice
        many = shared > MANY * len(train) and not schema.group
        severity = "warning" if many else "info"
        findings.append(Finding(severity, f"{what} {where}", shared, advice=advice))
    for i, table in enumerate(tables[1:], 1):
        rows = [row for row, key in enumerate(own[i]) if key is not None and key in seen]
        if rows:
            what = f"{len(rows):,} of {len(table):,} rows of {table.source} have the {one.kind} of"
            findings.append(
                Finding(
                    room.seen_again,
                    f"{what} a row of {train.source} in '{one.name}'",
                    len(rows),
                    f"row {table.number(rows[0])}",
                    "Split by what they share, or the figures flatter",
                )
            )
    return findings


def groups(tables: Sequence[Table], schema: Schema) -> list[Finding]:
    """Rows of later tables whose group the training table has too."""
    if schema.group is None:
        return []
    trained = set(tables[0].cells(schema.group)) - {None}
    findings = []
    for table in tables[1:]:
        if schema.group not in table.names:
            what = f"{table.source} has no column '{schema.group}', the group that rows belong to"
            advice = "Whether its groups were trained on cannot be told, nor are intervals by group"
            findings.append(Finding("warning", what, len(table), advice=advice))
            continue
        rows = [row for row, g in enumerate(table.cells(schema.group)) if g in trained]
        if rows:
            what = f"{len(rows):,} of {len(table):,} rows of {table.source} belong to a"
            findings.append(
                Finding(
                    "warning",
                    f"{what} '{schema.group}' that {tables[0].source} has too",
                    len(rows),
                    f"row {table.number(rows[0])}",
                    "Figures on them say nothing about new groups",
                )
            )
    return findings
