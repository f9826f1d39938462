"""New rows held against what a run knows: what is left out of them, and what it never learned."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from polymodal.base import lookup
from polymodal.base.errors import UserError
from polymodal.contract.form import Form
from polymodal.contract.task import Task
from polymodal.table.ledger import Ledger
from polymodal.table.read import Table
from polymodal.table.schema import Schema

# What rows that no column takes, or a run that somebody has edited, may break.
_FAULTS = (
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    RuntimeError,
    TypeError,
    ValueError,
)
# So many columns are named.
SHOWN = 4


def whole(
    schema: Schema, rows: Iterable[Mapping[str, Any]], ledger: Ledger
) -> list[dict[str, Any]]:
    """Rows with every input column; those that are not given are missing.

    What only identifies a row and targets may be there too; what is nothing to the run is left
    out, and remarked.

    Raises:
        UserError: such a column has nearly the name of an input that its row lacks; or a row has
            no other columns.
    """
    inputs = [column.name for column in schema.inputs]
    kept = {*inputs, *_others(schema)}
    found = []
    names: dict[Any, None] = {}
    for row in rows:
        for name in row:
            if name not in kept and name not in names:
                names[name] = None
        for name in row.keys() - kept:
            lacking = [n for n in inputs if n not in row]
            if lookup.nearest(str(name), lacking) is not None or not row.keys() & kept:
                what = f"The run has no input column '{name}'"
                raise lookup.unknown(what, str(name), inputs)
        found.append({n: row.get(n) for n in inputs} | {n: row[n] for n in row if n in kept})
    ignored(schema, names, ledger)
    return found


def unknown(schema: Schema, names: Iterable[Any]) -> list[Any]:
    """Those of some columns that are nothing to the run."""
    known = {*(column.name for column in schema.inputs), *_others(schema)}
    return [name for name in names if name not in known]


def ignored(schema: Schema, names: Iterable[Any], ledger: Ledger) -> None:
    """Remark columns that are nothing to the run."""
    strangers = [f"'{name!s:.40}'" for name in unknown(schema, names)]
    if strangers:
        more = f" and {len(strangers) - SHOWN:,} more" if len(strangers) > SHOWN else ""
        shown = ", ".join(strangers[:SHOWN]) + more
        ledger.remark(f"Columns that the training table did not have are ignored: {shown}")


def told(tasks: Mapping[str, Task], table: Table) -> None:
    """UserError if new rows have a column that would tell what is to be predicted."""
    for task in tasks.values():
        for name in task.withheld:
            if name in table.names:
                raise UserError(
                    f"{table.source} has the column '{name}', which '{task.name}' is to write",
                    expected="new rows without it: a model that learned to write it reads it never",
                    do=f"leave '{name}' out; with it and the answers, `evaluate` measures the run",
                )


def strange(table: Table, forms: Iterable[Form], ledger: Ledger) -> None:
    """Note rows whose cells are not of their column's kind, or that no training row had."""
    for odd in table.odd:
        reason = f"the cell of '{odd.column}' is no {odd.kind} and counts as missing"
        ledger.add("incomplete", reason, odd.rows, odd.example, odd.column)
    for form in forms:
        # A parent may know columns that this table has not.
        own = partial(_cells, table)
        for column, rows in form.unlearned(own).items():
            reason = f"'{column}' has a value that no training row has, or hardly any: it counts"
            shown = f"{table.cells(column)[rows[0]]!r:.80} in row {table.number(int(rows[0]))}"
            ledger.add("incomplete", f"{reason} as missing", rows, shown, column)


def _others(schema: Schema) -> list[str]:
    """Columns that are known and no inputs."""
    return [*schema.skipped, *(column.name for column in schema.targets)]


def _cells(table: Table, name: str) -> list[Any]:
    return table.cells(name) if name in table.names else []


@contextmanager
def answering(folder: Path | None) -> Iterator[None]:
    """Rows from anywhere, and a run from anywhere: what fits together nowhere is one error.

    Args:
        folder: the run's.
    """
    try:
        yield
    except _FAULTS as error:
        raise UserError(
            f"The run {folder or ''} cannot answer these rows",
            got=f"{type(error).__name__}: {error}"[:300],
            do="look at these rows if it answers others; otherwise fit it again",
        ) from error
