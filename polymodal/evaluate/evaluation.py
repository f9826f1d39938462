"""A run measured on a table: metrics with intervals, a classification report, predictions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from polymodal import lookup
from polymodal.contract import Objective
from polymodal.data.ledger import Ledger
from polymodal.errors import UserError
from polymodal.evaluate.metrics import classification_report, report_text
from polymodal.evaluate.statistics import interval
from polymodal.files import make_folder, write_csv, write_json

if TYPE_CHECKING:
    from polymodal.data.read import Table
    from polymodal.run import Run

Numbers = dict[str, dict[str, dict[str, float]]]


@dataclass
class Evaluation:
    """What a run scored on a table.

    Attributes:
        rows: rows of the table.
        targets: target -> metric -> value, low, high (95 % interval).
        rivals: modality -> the same for its own best model, trained and chosen without the others.
        reports: target of classes -> its classification report.
        predictions: columns of the predictions file.
        ledger: what became of every row.
    """

    rows: int
    targets: Numbers
    rivals: dict[str, Numbers]
    reports: dict[str, dict[str, Any]]
    predictions: dict[str, list[Any]]
    ledger: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        return {
            "rows": self.rows,
            "targets": self.targets,
            "rivals": self.rivals,
            "reports": self.reports,
            "ledger": self.ledger,
        }

    def save(self, folder: Path) -> None:
        """Write metrics.json and predictions.csv."""
        make_folder(folder)
        write_csv(folder / "predictions.csv", self.predictions)
        write_json(folder / "metrics.json", self.to_json())

    def text(self) -> str:
        """For a terminal: every metric of the model, beside the rivals' values."""
        lines = []
        for target, numbers in self.targets.items():
            heads = "".join(f"  {'only ' + name:>16}" for name in self.rivals)
            lines.append(
                f"{target + f' ({self.rows:,} rows)':<26}{'value':>9}  {'95 %':<18}{heads}"
            )
            for metric, found in numbers.items():
                span = f"[{found['low']:.4f}, {found['high']:.4f}]"
                beside = "".join(
                    f"  {rival[target][metric]['value']:>16.4f}" for rival in self.rivals.values()
                )
                lines.append(f"  {metric:<24}{found['value']:>9.4f}  {span:<18}{beside}")
            if target in self.reports and len(self.reports[target]) < 40:
                lines += ["", report_text(self.reports[target])]
        return "\n".join(lines)


def evaluate(
    run: Run, source: Any, *, group: str | None = None, max_bad_rows: int = 0
) -> Evaluation:
    """Measure a run on a table that has its target columns.

    Args:
        group: column whose equal values are one cluster of the bootstrap; by default the group
            column that the run was fitted with, where the table has it.
        max_bad_rows: rows whose media may be unreadable; they are measured without them.
    """
    table = run.table(source, require_targets=True)
    ledger = Ledger()
    clusters = _clusters(run, table, group)
    prepared = run.prepare(table, ledger, max_bad_rows=max_bad_rows)
    rows = np.arange(len(table))
    scores = run.scores(prepared, rows)
    targets = {name: values.values for name, values in run.targets(table).items()}
    measured = np.zeros(len(table), bool)
    for name, values in targets.items():
        known = np.array([_known(value, run.objectives[name]) for value in values])
        ledger.count("skipped", f"no value in target '{name}'", int((~known).sum()))
        measured |= known
    ledger.count("used", "measured", int(measured.sum()))
    combined = run.combine(scores)
    predictions: dict[str, list[Any]] = {"row": rows.tolist()}
    reports = {}
    for name, objective in run.objectives.items():
        predictions |= objective.decode(combined[name])
        if objective.kind == "category":
            stacked = np.stack(combined[name])
            reports[name] = classification_report(
                np.stack(targets[name]), stacked, objective.state["classes"]
            )
    rivals = {
        who: _numbers(run.objectives, run.combine(scores, who), targets, clusters)
        for who in run.weights
        if who != "fused"
    }
    return Evaluation(
        len(table),
        _numbers(run.objectives, combined, targets, clusters),
        rivals,
        reports,
        predictions,
        ledger.to_json(),
    )


def _numbers(
    objectives: Mapping[str, Objective],
    scores: Mapping[str, Sequence[np.ndarray[Any, Any]]],
    targets: Mapping[str, Sequence[np.ndarray[Any, Any]]],
    clusters: np.ndarray[Any, Any] | None,
) -> Numbers:
    found: Numbers = {}
    for name, objective in objectives.items():
        known = [i for i, value in enumerate(targets[name]) if _known(value, objective)]
        if not known:
            raise UserError(
                f"No row has a value in the target '{name}'",
                expected="at least one, to measure against",
                do="use `polymodal predict` for rows without targets",
            )
        metrics = objective.metrics(
            [scores[name][i] for i in known], [targets[name][i] for i in known]
        )
        own = None if clusters is None else clusters[known]
        found[name] = {}
        for metric, how in metrics.items():
            span = interval(how, len(known), clusters=own)
            found[name][metric] = {"value": span.value, "low": span.low, "high": span.high}
    return found


def _known(value: np.ndarray[Any, Any], objective: Objective) -> bool:
    flat = np.asarray(value)
    if objective.missing != objective.missing:  # NaN
        return not bool(np.isnan(flat).all())
    return bool((flat != objective.missing).any())


def _clusters(run: Run, table: Table, group: str | None) -> np.ndarray[Any, Any] | None:
    column = group or run.schema.group
    if column is None or (group is None and column not in table.names):
        return None
    if column not in table.names:
        match = lookup.nearest(column, table.names)
        raise UserError(
            f"{table.source} has no column '{column}' (--group)",
            expected=f"one of {', '.join(table.names)}",
            do=f"did you mean '{match}'?" if match else "check the table's header",
        )
    _, codes = np.unique([str(cell) for cell in table.cells(column)], return_inverse=True)
    return np.asarray(codes)
