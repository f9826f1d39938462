"""Which kind of target a column is: the tasks are asked in turn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache

import pyarrow as pa

from polymodal.base import lookup
from polymodal.base.arrow import holds_binary, is_list
from polymodal.base.errors import UserError
from polymodal.contract.kind import Guess, Seen, readers, worded
from polymodal.contract.task import Task
from polymodal.table import values
from polymodal.table._kinds import guess
from polymodal.table.read import Table
from polymodal.table.schema import Column


def _tasks() -> tuple[type[Task], ...]:
    """The tasks that a target's kind may mean, in the order in which they are asked for it."""
    found = (one for one in _found(lookup.places("tasks")) if one.order is not None)
    return tuple(sorted(found, key=lambda task: task.order or 0))


@cache
def _found(places: tuple[str, ...]) -> tuple[type[Task], ...]:
    return tuple(lookup.find("tasks", name) for name in lookup.names("tasks"))


def kinds(declared: bool = True) -> dict[str, type[Task]]:
    """Kind of target column -> the task that it means, by name.

    Args:
        declared: those of tasks that are asked for nothing too: such a kind has to be declared.
    """
    tasks = _found(lookup.places("tasks")) if declared else _tasks()
    found = {one.kind: one for one in tasks if one.kind is not None}
    return {kind: found[kind] for kind in sorted(found)}


def target(
    table: Table, name: str, declared: Mapping[str, str], reads: Sequence[str] = ()
) -> Column:
    """The column to predict, as declared or as its cells say. UserError if it cannot be one.

    Args:
        reads: further kinds that its task predicts, which takes the column for the first of them
            where it could else be no target.
    """
    check_present(table, name)
    if name in declared:
        column = declare(table, name, declared[name])
    else:
        guessed = _guess_target(table, name)
        column = Column(name, guessed.kind, guessed.reason, guessed.details)
    allowed = (*kinds(name in declared), *reads)
    if column.kind not in allowed and reads and name not in declared:
        column = Column(name, reads[0], "what its task predicts")
    if column.kind not in allowed:
        mark = values.joins(table.cells(name))
        advice = f"if it is one of them, say so: `kind {name}=category`"
        if column.kind in kinds():
            advice += f"; to have such texts written: `kind {name}={column.kind}`"
        if mark is not None:
            advice = f"if '{mark}' parts several labels of a row, say so: `kind {name}=set`"
        raise UserError(
            f"The column '{name}' cannot be a target: {column.reason}",
            expected=f"one of the kinds {', '.join(allowed)}",
            got=column.kind,
            do=advice,
        )
    return column


def declare(table: Table, name: str, column_kind: str) -> Column:
    """A column of the kind that the user says, with how its cells are written."""
    column, known = Column(name, column_kind), readers()
    data = table.data.column(name)
    if column_kind not in known or data.null_count == len(data):
        return column
    return replace(column, details=known[column_kind].declared(column_kind, Seen(name, data)))


def check_present(table: Table, name: str) -> None:
    """UserError if a target has no values at all."""
    if table.data.column(name).null_count == len(table):
        raise UserError(
            f"The target '{name}' has no values in {table.source}",
            got=f"{len(table):,} missing cells",
            do="name another `target`, or fill the column in",
        )


def cells_of(kind: str) -> str | None:
    """What cells of a kind that no modality reads are, in words; None for other kinds."""
    return (kinds()[kind].cells or None) if kind in kinds() else None


def labelled(table: Table, target: Column, inputs: Mapping[str, Column]) -> str | None:
    """The input whose words a target labels; None if it has one answer a row."""
    task = kinds().get(target.kind)
    if task is None:
        return None
    known = readers()
    able = [n for n, one in inputs.items() if not (one.kind in known and known[one.kind].media)]
    return task.labels_words_of(table, target.name, able)


def _guess_target(table: Table, name: str) -> Guess:
    asked = (task.sniff(table, name) for task in _tasks())
    found = next((one for one in asked if one is not None), None)
    if found is not None:
        return found
    column = table.data.column(name)
    if is_list(column.type) or pa.types.is_struct(column.type) or holds_binary(column.type):
        return guess(table, name)
    cells = [cell for cell in column.to_pylist() if cell is not None]
    different = len({values.category(cell) for cell in cells})
    return Guess(worded(), f"{different:,} different texts in {len(cells):,} cells")
