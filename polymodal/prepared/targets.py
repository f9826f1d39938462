"""Targets prepared as inputs are: every row's, encoded, and whether it has one."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from polymodal.contract.task import Answers, Array, Task
from polymodal.prepared.prepare import Prepared
from polymodal.table.read import Table


def cells(task: Task, table: Table) -> list[Any]:
    """What a task reads of every row: see `Task.columns`. What is withheld may be lacking."""
    names = task.columns
    if not names:
        return [None] * len(table)
    if len(names) == 1:
        return table.cells(names[0])
    unknown = set(task.withheld) - set(table.names)
    columns = [[None] * len(table) if n in unknown else table.cells(n) for n in names]
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def prepared(task: Task, found: Sequence[Any]) -> Prepared:
    """The cells of a fitted task, encoded; a row is present where its target is known."""
    arrays = task.encode(found)
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
