"""The rows of a table that a task can be measured on, and what becomes of the others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from polymodal.base import lookup
from polymodal.base.errors import UserError
from polymodal.checks.gathered import gathered
from polymodal.contract.task import Answers, Task
from polymodal.metrics._weighted import Array
from polymodal.metrics.statistics import codes, intervals
from polymodal.prepared.prepare import Prepared
from polymodal.prepared.targets import Known
from polymodal.run.run import Run
from polymodal.table.ledger import Ledger
from polymodal.table.read import Table


class Part(Known):
    """A task on the rows of a table that have its target.

    Args:
        target: of all rows.
        clusters: all rows', or None.

    Raises:
        UserError: no row has it.
    """

    def __init__(self, task: Task, target: Prepared, clusters: Array | None) -> None:
        super().__init__(target, np.arange(len(target)))
        self.task, self.name = task, task.name
        if not len(self.rows):
            raise UserError(
                f"No row has a value in the target '{self.name}'",
                expected="at least one, to measure against",
                do="predict such rows instead: that needs no targets",
            )
        self.clusters = None if clusters is None else clusters[self.rows]

    @property
    def is_played(self) -> bool:
        """Whether what modalities are worth can be told: there is one answer a row, and it is
        measured by what the target says of it."""
        return self.task.words is None and (self.task.averaged or self.task.told)

    def metrics(self, scores: Answers) -> dict[str, dict[str, float]]:
        """Metric -> value and 95 % interval of scores of all rows; what was asked for is first."""
        metrics = self.task.metrics(self.of(scores), self.targets)
        metrics = dict(sorted(metrics.items(), key=lambda one: one[0] != self.task.asked))
        spans = intervals(metrics, len(self.rows), self.clusters)
        return {name: asdict(span) for name, span in spans.items()}


def table_of(run: Run, source: Any) -> tuple[Table, list[str]]:
    """A table that a run is measured on, rows of the same inputs as one where its task has them so;
    and what to say of that."""
    table = run.table(source, require_targets=True)
    table, _, told = gathered(table, run.schema, [*run.tasks.values()])
    return table, [one.what for one in told]


def account(ledger: Ledger, known: Mapping[str, Array], rows: Array) -> Array:
    """Note what became of all rows, those with each target being known; returns those with any."""
    measured = np.unique(np.concatenate(list(known.values())))
    ledger.add("used", "measured", measured)
    for name, own in known.items():
        reason = f"no value in target '{name}'"
        ledger.add("incomplete", reason, np.setdiff1d(measured, own))
        ledger.add("skipped", reason, np.setdiff1d(rows, measured))
    return measured


def clusters_of(table: Table, group: str | None, fitted: str | None) -> Array | None:
    """Each row's cluster as a code, or None where rows are independent.

    Args:
        group: the column that was asked for.
        fitted: the one that the run was fitted with; used if the table has it.
    """
    column = group or fitted
    if column is None or (group is None and column not in table.names):
        return None
    if column not in table.names:
        what = f"{table.source} has no column '{column}' (`group`)"
        raise lookup.unknown(what, column, table.names, "check the table's header")
    return codes(table.cells(column))
