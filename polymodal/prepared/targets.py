"""Targets prepared as inputs are: every row's, encoded, and whether it has one."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from polymodal.base.errors import UserError
from polymodal.contract.coded import Coded
from polymodal.contract.form import Form
from polymodal.contract.kind import pictured
from polymodal.contract.placing import Placing
from polymodal.contract.task import Answers, Array, Task
from polymodal.prepared import cells as read
from polymodal.prepared.prepare import Prepared, prepare
from polymodal.table.ledger import Ledger
from polymodal.table.read import Table
from polymodal.table.schema import Schema


def cells(task: Task, table: Table) -> list[Any]:
    """What a task reads of every row: see `Task.columns`. What is withheld may be lacking."""
    names = task.columns
    if not names:
        return [None] * len(table)
    if len(names) == 1:
        return table.cells(names[0])
    unknown = set(task.withheld) - set(table.names)
    seen = media(task, table)
    columns = [
        seen[n] if n in seen else [None] * len(table) if n in unknown else table.cells(n)
        for n in names
    ]
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def media(task: Task, table: Table) -> dict[str, list[Any]]:
    """The media that a task tells places in, of every row; nothing of other tasks."""
    names = task.looks_at if isinstance(task, Placing) else ()
    return {name: list(table.media(name)) for name in names}


def located(task: Task, found: dict[str, list[Any]], table: Table) -> dict[str, list[Any]]:
    """Columns of predictions, places in the units of the rows' own media."""
    return task.located(found, media(task, table)) if isinstance(task, Placing) else found


def fitting(
    task: Task, table: Table, schema: Schema, rows: Array, found: Sequence[Any]
) -> list[Any]:
    """The cells of some rows as the task's `fit` takes them.

    Args:
        found: as `cells` has read them, of every row.

    Raises:
        UserError: its media are of a kind that cannot be made.
    """
    if isinstance(task, Coded):
        column = schema.column(task.columns[0])
        if column.kind != pictured():
            raise UserError(
                f"The column '{column.name}' cannot be drawn",
                expected=f"a column of the kind {pictured()}",
                got=column.kind,
                do=f"say what it is (`kind {column.name}={pictured()}`), or name another task",
            )
        return [cell for cell in read.cells(table, [column], rows) if cell is not None]
    return [found[i] for i in rows.tolist()]


def of_table(
    task: Task,
    table: Table,
    schema: Schema,
    *,
    ledger: Ledger,
    cache: Path | None,
    form: Form | None = None,
    **options: Any,
) -> Prepared:
    """A fitted task's targets in a table; of media those that cannot be read are noted.

    Args:
        cache: where arrays of media are kept; None: nowhere.
        form: of media, in place of the task's own.
        options: of media further ones of `prepare`.
    """
    if not isinstance(task, Coded):
        return prepared(task, cells(task, table), ledger)
    column = schema.column(task.columns[0])
    return prepare(table, [column], form or task.form, cache=cache, ledger=ledger, **options)


def prepared(task: Task, found: Sequence[Any], ledger: Ledger | None = None) -> Prepared:
    """The cells of a fitted task, encoded; a row is present where its target is known.

    Args:
        ledger: told of those that are cut.
    """
    arrays = task.encode(found)
    if ledger is not None:
        pairs = enumerate(zip(found, arrays, strict=True))
        cut = [i for i, (cell, own) in pairs if own is not None and task.form.was_truncated(cell)]
        beyond = task.form.beyond.format(form=type(task).__name__.lower())
        ledger.add("truncated", f"the target '{task.name}' {beyond}", cut, column=task.name)
    ragged = int(task.form.ragged)
    shapes = (array.shape[ragged:] for array in arrays if array is not None)
    return Prepared.of(arrays, task.form, next(shapes, ()))


def known(targets: Collection[Prepared], rows: Array) -> Array:
    """`(rows,)` bool: which of some rows have at least one of the targets."""
    return np.any([target.present[rows] for target in targets], axis=0)


class Known:
    """Which of some rows have a target, and what it is there.

    Attributes:
        rows: `(known,)` row numbers.
        targets: one array each.
    """

    def __init__(self, target: Prepared, rows: Array) -> None:
        self._positions = np.flatnonzero(target.present[rows])
        self.rows = rows[self._positions]
        self.targets = target.arrays(self.rows)

    def of(self, answers: Answers) -> list[Array]:
        """Of answers to all of the rows, those to the known ones."""
        return [answers[position] for position in self._positions.tolist()]
