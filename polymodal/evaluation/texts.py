"""The texts that a run wrote beside always the same one; and some of them, to look at."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from polymodal.base.spelling import cut
from polymodal.contract import kind
from polymodal.contract.task import Answers
from polymodal.contract.writing import Writing
from polymodal.evaluation.part import Part
from polymodal.metrics.metrics import primary
from polymodal.report import poor
from polymodal.table.read import Table
from polymodal.table.schema import Column, Schema

# Rows of the file, evenly from the table, and characters of a cell that a model read.
ROWS, CHARACTERS = 20, 200


def beside(
    part: Part, answers: Answers, written: Sequence[str]
) -> tuple[dict[str, dict[str, float]], list[str]]:
    """What the training rows' commonest text scores, as `Part.metrics` has it; and a warning where
    those that were written are worse, or say nothing.

    Args:
        answers, written: of all rows.
    """
    task, rows = part.task, part.rows.tolist()
    same = part.metrics(task.constant(answers))
    metric = primary(task, part.of(answers), part.targets)
    mine = {
        "metric": task.primary,
        "greater_is_better": metric.greater_is_better,
        "value": float(metric.statistic(np.ones((1, len(rows))))[0]),
    }
    empty = float(np.mean([not written[row].strip() for row in rows]))
    assert isinstance(task, Writing)
    said = poor.said(task, mine, same.get(task.primary, mine), empty)
    return same, [said] if said else []


def samples(
    table: Table,
    schema: Schema,
    written: Mapping[str, Sequence[str]],
    wanted: Mapping[str, Mapping[int, str | list[str]]],
) -> dict[str, list[Any]]:
    """Columns of a file: row, inputs (media by their names), and of each target what was wanted
    (several as a list in JSON) and written.

    Args:
        written: target -> text of every row.
        wanted: target -> row -> reference, or several, where it is known.
    """
    count = min(ROWS, len(table))
    rows = np.unique(np.linspace(0, len(table) - 1, count).round().astype(int)).tolist()
    found: dict[str, list[Any]] = {"row": [table.number(row) for row in rows]}
    for column in schema.inputs:
        if column.name in table.names:
            found[column.name] = [_named(table, column, row) for row in rows]
    for name, texts in written.items():
        known = wanted[name]
        found[f"{name}.reference"] = [_spelled(known.get(row, "")) for row in rows]
        found[f"{name}.written"] = [texts[row] for row in rows]
    return found


def _named(table: Table, column: Column, row: int) -> str:
    """A cell as a person names it."""
    cell = table.data.column(column.name)[row].as_py()
    if cell is None:
        return ""
    if kind.of(column.kind).media and not isinstance(cell, str):
        medium = table.medium(cell, row, column.name)
        return "" if medium is None else medium.label
    return cut(str(cell), CHARACTERS)


def _spelled(reference: str | list[str]) -> str:
    return reference if isinstance(reference, str) else json.dumps(reference, ensure_ascii=False)
