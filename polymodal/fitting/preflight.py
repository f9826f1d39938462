"""The checks of a fit without the fit."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from polymodal.base.spelling import is_missing, several
from polymodal.checks import check as checks
from polymodal.checks.gathered import gathered
from polymodal.contract.recipe import Recipe
from polymodal.contract.resolve import recipe_of
from polymodal.contract.writing import Writing
from polymodal.fitting.data import asked_for, conversing, default_task, named_in
from polymodal.models import build
from polymodal.prepared import targets as encoding
from polymodal.prepared.cache import default_folder
from polymodal.report.console import Show
from polymodal.table import infer
from polymodal.table.read import Table, read
from polymodal.table.schema import Column, Schema
from polymodal.table.typed import Stated, typed

# Rows of which one is shown.
LOOKED_AT = 200


def check(
    train: Any,
    target: str | Sequence[str] = (),
    *,
    valid: Any = None,
    test: Any = None,
    kinds: Mapping[str, str] | None = None,
    drop: str | Sequence[str] = (),
    group: str | None = None,
    max_bad_rows: int = 0,
    decimal: Mapping[str, str] | None = None,
    date: Mapping[str, str] | None = None,
    missing: Mapping[str, str | Sequence[str]] | None = None,
    encoding: str | None = None,
    recipe: Recipe | str | Path | None = None,
    show: Show | None = None,
) -> checks.Report:
    """Look at a table before a fit: what each column is taken for, and what may be wrong.

    Of a target that is written a row is shown as the decoder reads it.

    Args:
        train: any source that `polymodal.table.read.read` takes.
        target: column or columns to predict.
        valid, test: tables that must not share rows, media or groups with it.
        kinds, drop, group, max_bad_rows, decimal, date, missing, encoding: as `fit` takes them.
        recipe: whose targets' tasks are asked, or its file; the other arguments say how the table
            is read.
        show: where the columns and findings are shown; by default standard error, and nowhere
            with `Show.silent()`.

    Returns:
        The findings; `raise_for_errors` raises what a fit would.
    """
    read_cached = partial(read, cache=default_folder(), encoding=encoding)
    show = show or Show(sys.stderr)
    table = read_cached(train)
    recipe = recipe_of(recipe)
    named = named_in(recipe)
    columns = [n for n in recipe.targets if n not in named or n in named[n].columns]
    targets = several(target) or columns
    reads = {name: task.reads for name, task in named.items()}
    words = {name: several(own) for name, own in (missing or {}).items()}
    stated = Stated(decimal or {}, date or {}, words)
    withheld = [n for task in named.values() for n in task.withheld if n in table.names]
    group, drop, kinds = conversing(table, group, [*several(drop), *withheld], dict(kinds or {}))
    schema = infer.infer(table, targets, kinds, drop, group, reads, stated)
    table = typed(schema, table)
    tasks = asked_for(named, schema, table)
    table, _, findings = gathered(table, schema, tasks, default_folder())
    show.schema(schema, table, named)
    valid, test = (
        None
        if source is None
        else gathered(typed(schema, read_cached(source)), schema, tasks, default_folder())[0]
        for source in (valid, test)
    )
    # A fit decodes every cell itself, and tells of each that is bad.
    forms = build.media_forms(schema)
    report = checks.check(
        table, schema, valid, test, forms=forms, max_bad_rows=max_bad_rows, tasks=named
    )
    report = checks.Report([*findings, *report.findings])
    show.findings(report)
    if not any(finding.severity == "error" for finding in report.findings):
        for column in schema.targets:
            task = named.get(column.name) or default_task(column, schema, table)
            if isinstance(task, Writing):
                show.sample(column.name, _sample(task, column, schema, table.slice(0, LOOKED_AT)))
    return report


def _sample(task: Writing, column: Column, schema: Schema, table: Table) -> str | None:
    """A row that has a text, as the decoder reads it: the first of those that lack least."""
    checks.introduce(task, schema, table)
    cells = encoding.cells(task, table)
    task.fit(cells, column.details)
    columns = {name: table.cells(name) for name in table.names}
    known = [row for row, cell in enumerate(cells) if task.is_known(cell)]
    row = min(known, key=lambda row: sum(is_missing(own[row]) for own in columns.values()))
    return task.sample({name: own[row] for name, own in columns.items()}, cells[row])
