"""What a fit learns from: the table with its schema, which rows are for what, and the targets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from polymodal.base import lookup
from polymodal.base.errors import UserError
from polymodal.checks import check as checks
from polymodal.checks import split
from polymodal.checks._finding import Finding
from polymodal.checks.gathered import gathered
from polymodal.contract import kind
from polymodal.contract.coded import Coded
from polymodal.contract.defaults import default
from polymodal.contract.recipe import Recipe
from polymodal.contract.task import Task
from polymodal.fitting import plan
from polymodal.fitting.codes import pixels, varied
from polymodal.prepared import targets as encoding
from polymodal.prepared.cells import Contents
from polymodal.prepared.prepare import Prepared
from polymodal.table import chat, infer
from polymodal.table.ledger import Ledger
from polymodal.table.read import Table, read
from polymodal.table.schema import Column, Schema
from polymodal.table.typed import Stated, typed

Array = np.ndarray[Any, Any]

# Share of the rows that validation takes where nothing says another.
VALID = 0.15


@dataclass(frozen=True)
class Opened:
    """The rows of a fit.

    Attributes:
        table: the training table's rows, then those of the validation table, if there is one.
        own: how many of them are the training table's.
        schema: of both.
        named: tasks that the recipe names, not fitted yet.
        contents: hashes of the inputs' cells, each made once.
        findings: what reading them has shown.
    """

    table: Table
    own: int
    schema: Schema
    named: dict[str, Task]
    contents: Contents
    findings: Sequence[Finding] = ()

    @property
    def given_valid(self) -> bool:
        """Whether there is a validation table."""
        return len(self.table) > self.own


@dataclass(frozen=True)
class Division:
    """Which rows are for what, by their numbers.

    Attributes:
        train: what forms, tasks and the last models are fitted on.
        valid: what models are chosen by; none where there are folds.
        folds: pairs of training and validation rows.
        asked: whether the folds were asked for; else one of them is the holdout where all do not
            fit into the time.
    """

    train: Array
    valid: Array
    folds: list[tuple[Array, Array]]
    asked: bool = True


@dataclass(frozen=True)
class Aims:
    """What is to be predicted.

    Attributes:
        tasks: name -> fitted task.
        targets: name -> encoded targets of all rows.
        unseen: `(rows,)` bool: validation rows of a class that no training row has.
        findings: what only the division has shown.
    """

    tasks: dict[str, Task]
    targets: dict[str, Prepared]
    unseen: Array
    findings: list[Finding]


def opened(train: Any, valid: Any, recipe: Recipe, cache: Path) -> Opened:
    """Read the tables and infer their schema."""
    table = read(train, cache=cache, encoding=recipe.data.encoding)
    own = len(table)
    if valid is not None:
        table = table.concat(read(valid, cache=cache, encoding=recipe.data.encoding))
    data = recipe.data
    named = named_in(recipe)
    columns = [n for n in recipe.targets if n not in named or n in named[n].columns]
    reads = {name: task.reads for name, task in named.items()}
    stated = Stated(data.decimal, data.date, data.missing)
    withheld = [n for t in named.values() for n in t.withheld if n in table.names]
    group, drop, kinds = conversing(table, data.group, [*data.drop, *withheld], data.kinds)
    schema = infer.infer(table, columns, kinds, drop, group, reads, stated)
    for task in named.values():
        for column in task.columns:
            if column not in table.names:
                what = (
                    f"{table.source} has no column '{column}', which the task '{task.name}' reads"
                )
                raise lookup.unknown(what, column, table.names, "check the table's header")
    table = typed(schema, table)
    tasks = asked_for(named, schema, table)
    table, rows, findings = gathered(table, schema, tasks, cache, own)
    own = int((rows < own).sum())
    return Opened(table, own, schema, named, Contents(table, cache), findings)


def named_in(recipe: Recipe) -> dict[str, Task]:
    """The tasks that a recipe names, not fitted yet."""
    return {
        name: lookup.build("tasks", spec, name)
        for name, spec in recipe.targets.items()
        if spec is not None
    }


def asked_for(named: Mapping[str, Task], schema: Schema, table: Table) -> list[Task]:
    """The tasks of all targets, those that are named and the kinds' defaults, where these exist."""
    others = [one for one in schema.targets if one.name not in named]
    return [*named.values(), *(task for one in others if (task := usual(one, schema, table)))]


def conversing(
    table: Table, group: str | None, drop: Sequence[str], kinds: Mapping[str, str]
) -> tuple[str | None, Sequence[str], Mapping[str, str]]:
    """The group, the columns that no model may read, and declared kinds, as `infer` takes them.

    Answers of one conversation belong together, and are texts, where nothing else is said.
    """
    own = chat.group(table.names)
    if own is None:
        return group, drop, kinds
    if chat.ANSWER in table.names:
        kinds = {chat.ANSWER: kind.worded(), **kinds}
    if own in (group, *drop):
        return group, drop, kinds
    return (own, drop, kinds) if group is None else (group, [*drop, own], kinds)


def checked(data: Opened, recipe: Recipe) -> checks.Report:
    """What may be wrong with the rows."""
    ends = [0, data.own, len(data.table)] if data.given_valid else [0, data.own]
    inputs = [column for column in data.schema.inputs if not kind.of(column.kind).joint]
    parts = [data.contents.slice(*span, inputs) for span in pairwise(ends)]
    train, *valid = (part.table for part in parts)
    limit = recipe.data.max_bad_rows
    found = checks.check(
        train, data.schema, *valid, contents=parts, max_bad_rows=limit, tasks=data.named
    )
    return checks.Report([*data.findings, *found.findings])


def divided(data: Opened, recipe: Recipe) -> Division:
    """The training table cut in two or into folds, unless there is a validation table."""
    table, own, asked = data.table, data.own, recipe.data
    if data.given_valid:
        return Division(np.arange(own), np.arange(own, len(table)), [])
    how: dict[str, Any] = {"seed": recipe.seed, "group": asked.group, "time": asked.time}
    how["contents"] = data.contents
    count = asked.folds
    if not count and asked.valid is None and not recipe.models and len(table) < plan.FEW_ROWS:
        count = plan.FOLDS
    if count:
        folds = split.folds(table, data.schema, count, asked.split, **how)
        return Division(np.arange(len(table)), np.arange(0), folds, bool(asked.folds))
    share = asked.valid or VALID
    return Division(*split.split(table, data.schema, asked.split, valid=share, **how), [])


def aimed(data: Opened, division: Division, recipe: Recipe, ledger: Ledger) -> Aims:
    """Tasks fitted on the training rows, and all rows' targets as they see them.

    A validation row whose class no training row has lacks its target, and is counted.

    Raises:
        UserError: no validation row has a target.
    """
    tasks: dict[str, Task] = {}
    read: dict[str, list[Any]] = {}
    columns = {column.name: column for column in data.schema.targets}
    for name in recipe.targets:
        task = data.named.get(name) or default_task(columns[name], data.schema, data.table)
        checks.introduce(task, data.schema, data.table.take(division.train))
        cells = encoding.cells(task, data.table)
        details = columns[name].details if name in columns else None
        known = encoding.fitting(task, data.table, data.schema, division.train, cells)
        task.fit(known, details)
        if recipe.metric is not None:
            task.measured_by(recipe.metric)
        tasks[name], read[name] = task, cells
    unseen = np.zeros(len(data.table), bool)
    targets, findings = {}, []
    for name, task in tasks.items():
        cells = read[name]
        strange = [row for row in division.valid.tolist() if task.is_unseen(cells[row])]
        if strange:
            what = f"a class of '{name}' that no training row has"
            findings.append(
                Finding(
                    "warning",
                    f"{len(strange):,} of {len(division.valid):,} validation rows have {what}",
                    len(strange),
                    f"{cells[strange[0]]!r} in row {data.table.number(strange[0])}",
                    "They are not measured, so the figures say nothing about new classes",
                )
            )
            ledger.add("skipped", f"validation with {what}", strange)
        for row in strange:
            cells[row] = None
        unseen[strange] = True
        if isinstance(task, Coded):
            targets[name] = pixels(task, data.contents, data.schema, recipe, ledger)
            varied(task, targets[name], division.train)
        else:
            targets[name] = encoding.prepared(task, cells, ledger)
        if len(division.valid) and not targets[name].present[division.valid].any():
            raise UserError(
                f"No validation row has a value of '{name}' that training rows have too",
                expected="at least one, to choose models by",
                do="split otherwise (`split`), or give other validation rows (`valid`)",
            )
    return Aims(tasks, targets, unseen, findings)


def default_task(column: Column, schema: Schema, table: Table) -> Task:
    """The task of a target column for which the recipe names none."""
    task = usual(column, schema, table)
    if task is None:
        raise UserError(
            f"No task is the default for the target '{column.name}', which is {column.kind}",
            expected="a task for it in the recipe",
            do=f"name one: targets: {{{column.name}: TASK}}; `polymodal list` has them all",
        )
    return task


def usual(column: Column, schema: Schema, table: Table) -> Task | None:
    """The same; None where its kind has no default."""
    kinds = [one.kind for one in schema.inputs]
    name = default(column.kind, kinds, lambda: table.cells(column.name))
    return None if name is None else lookup.build("tasks", name, column.name)


def refuse_division(recipe: Recipe) -> None:
    """UserError if the recipe divides rows that a validation table has divided already."""
    unused = recipe.data.division()
    if unused:
        raise UserError(
            f"{', '.join(unused)} cannot divide rows that are already divided",
            expected="either a validation table, or how to take validation rows from the training "
            "table",
            do=f"leave out {', '.join(unused)}, or the validation table",
        )


def account(ledger: Ledger, known: Array, unseen: Array) -> None:
    """Note what becomes of every row.

    Args:
        known: `(rows,)` bool: those that have any target.
        unseen: as of `Aims`.
    """
    ledger.add("skipped", "no value in any target", np.flatnonzero(~known & ~unseen))
    ledger.add("used", "training or validation", np.flatnonzero(known))
