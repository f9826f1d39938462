"""Predictions from anywhere against their references: metrics, intervals, and which is better."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from polymodal.base import lookup
from polymodal.base.claims import WRITTEN, refuse_others
from polymodal.base.errors import UserError
from polymodal.base.files import make_folder, write_json
from polymodal.base.spelling import canonical, is_missing, several
from polymodal.contract.metric import Metric
from polymodal.contract.scoring import Build, Family, Sides
from polymodal.evaluation.families import families
from polymodal.metrics.answers import extractor
from polymodal.metrics.statistics import (
    Clusters,
    approximate_randomisation,
    codes,
    holm,
    intervals,
    paired_difference,
)
from polymodal.report.words import written
from polymodal.table.read import Table, read

TEST = "approximate randomisation"
RESAMPLES = 2000


@dataclass(frozen=True)
class Scored:
    """What predictions scored.

    Attributes:
        metric: the family.
        rows: measured.
        predictions: column -> metric -> value, low, high (95 % interval).
        difference: of two columns, metric -> value (first - second), low, high, p of there being
            none, p_holm (corrected for the number of metrics); else None.
        conditions: what a reader of the figures must know, such as the gallery's size.
        ledger: rows without reference and rows that only the predictions' table has, which are
            left out; rows without prediction, by column.
        groups: how many groups of rows the intervals draw; None: they draw rows.
    """

    metric: str
    rows: int
    predictions: dict[str, dict[str, dict[str, Any]]]
    difference: dict[str, dict[str, Any]] | None
    conditions: dict[str, Any]
    ledger: dict[str, Any]
    groups: int | None

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"test": TEST if self.difference else None}

    def save(self, folder: Path) -> None:
        """Write metrics.json."""
        make_folder(folder)
        refuse_others(folder, ["metrics.json"], "metrics.json", WRITTEN)
        write_json(folder / "metrics.json", self.to_json())

    def text(self) -> str:
        """For a terminal."""
        drawn = "" if self.groups is None else f" in {self.groups:,} groups"
        lines = [f"{self.metric}: {self.rows:,} rows{drawn}, 95 % intervals"]
        if self.ledger["no reference"]:
            lines.append(f"{self.ledger['no reference']:,} rows without a reference left out")
        if self.ledger["not among the references"]:
            unasked = self.ledger["not among the references"]
            lines.append(f"{unasked:,} rows that are not among the references left out")
        for name, missing in self.ledger["no prediction"].items():
            if missing:
                lines.append(f"{missing:,} rows without a prediction in '{name}' count as wrong")
        lines += [f"{key}: {_shown(value)}" for key, value in self.conditions.items()]
        for name, numbers in self.predictions.items():
            lines += ["", name, *(_line(metric, found) for metric, found in numbers.items())]
        if self.difference is not None:
            first, second = self.predictions
            lines += ["", f"{first} - {second} ({TEST}; p corrected for all by Holm's method)"]
            for metric, found in self.difference.items():
                tail = f"  p = {found['p']:.2g} (corrected {found['p_holm']:.2g})"
                lines.append(_line(metric, found, signed=True) + tail)
        return "\n".join(lines)


def score(
    source: Any,
    metric: str,
    *,
    prediction: str | Sequence[str] = "prediction",
    reference: str | Sequence[str] = "reference",
    references: Any = None,
    on: str | None = None,
    group: str | None = None,
    extract: str | None = None,
) -> Scored:
    """Score predictions against references.

    Args:
        source: table of the predictions: anything that `read` takes.
        metric: a name in `families`, such as a task's; "file.py:Task" for a task of one's own.
        prediction: its column of predictions, or two to compare on the same rows.
        reference: the column of references, or several where a row may have several.
        references: table of the references; by default they stand beside the predictions.
        on: column of both tables whose values name the rows; by default both have the same rows in
            the same order.
        group: column whose equal values are one cluster of the bootstrap.
        extract: how to find the answer in a prediction (see `answers.extractor`).

    Raises:
        UserError: a column is missing, cells are not what the metric needs, or rows do not match.
    """
    family = _family(metric)
    names, gold = several(prediction), several(reference)
    _check(metric, family, names, gold, extract)
    ours = predicted = read(source)
    theirs = ours if references is None else read(references)
    if references is not None:
        ours = _matched(ours, theirs, on)
    elif on is not None:
        raise UserError(
            "`on` matches the rows of two tables, and there is one",
            do="name the second one: `references FILE`",
        )
    parsed = [family.parse(list(cells)) for cells in zip(*map(theirs.cells, gold), strict=True)]
    known = np.flatnonzero([one is not None for one in parsed])
    if not len(known):
        raise UserError(
            f"No row has a reference in '{', '.join(gold)}'",
            expected="at least one, to measure against",
        )
    ours = ours.take(known)
    sides = Sides(
        {name: ours.cells(name) for name in names},
        {name: _shares(ours, name) for name in names},
        [parsed[row] for row in known],
        None if extract is None else extractor(extract),
    )
    clusters = None
    if group is not None:
        beside = ours if group in ours.names else theirs.take(known)
        clusters = codes(beside.cells(group))
    build, conditions = family.build(sides)
    return Scored(
        metric,
        len(known),
        {name: _measured(build([name]), len(known), clusters) for name in names},
        _difference(build, names, len(known), clusters) if len(names) == 2 else None,
        conditions,
        {
            "no reference": len(parsed) - len(known),
            "not among the references": len(predicted) - len(parsed),
            "no prediction": {n: sum(map(is_missing, c)) for n, c in sides.predictions.items()},
        },
        None if clusters is None else len(np.unique(clusters)),
    )


def _family(metric: str) -> Family:
    known = families()
    if ":" in metric:
        known |= {metric: own} if (own := lookup.find("tasks", metric).family()) else {}
    if metric not in known:
        raise UserError(
            f"There is no metric '{metric}'",
            expected=", ".join(known),
            do=lookup.meant(metric, known),
        )
    return known[metric]


def _check(
    metric: str, family: Family, names: Sequence[str], gold: Sequence[str], extract: str | None
) -> None:
    """UserError for what the metric cannot do."""
    if not 1 <= len(set(names)) == len(names) <= 2:
        raise UserError(
            "Predictions are scored alone or in pairs",
            expected="one `prediction COLUMN`, or two different ones to compare",
            got=", ".join(names),
        )
    if len(set(gold)) < len(gold):
        raise UserError(
            "A column of references is named twice",
            expected="different columns: one annotator's answers count once",
            got=", ".join(gold),
        )
    if len(gold) > 1 and not family.several:
        raise UserError(
            f"'{metric}' takes one reference a row",
            expected="a single `reference COLUMN`",
            got=", ".join(gold),
        )
    if extract is not None and not family.extracts:
        raise UserError(
            f"'{metric}' extracts no answers from texts",
            expected="`extract` with "
            + " or ".join(name for name, one in families().items() if one.extracts),
            do="leave `extract` out",
        )


def _matched(ours: Table, theirs: Table, on: str | None) -> Table:
    """The predictions, in the order of the references."""
    if on is None:
        if len(ours) != len(theirs):
            raise UserError(
                f"{ours.source} has {len(ours):,} rows and {theirs.source} {len(theirs):,}",
                expected="the same rows in the same order",
                do="`on COLUMN` to match them by a column that names the rows in both",
            )
        return ours
    rows = {key: row for row, key in enumerate(_names(ours, on))}
    wanted = _names(theirs, on)
    lacking = [key for key in wanted if key not in rows]
    if lacking:
        raise UserError(
            f"{len(lacking):,} rows of {theirs.source} have no row in {ours.source}",
            expected=f"every '{on}' of the references among the predictions",
            got=f"none for {', '.join(map(repr, lacking[:3]))}",
            do="predict them too (an empty prediction counts as wrong), or leave them out of both",
        )
    return ours.take([rows[key] for key in wanted])


def _names(table: Table, on: str) -> list[str]:
    """What a column calls each row. UserError if that does not tell them apart."""
    cells = table.cells(on)
    found = [canonical(cell) for cell in cells if not is_missing(cell)]
    if len(set(found)) < len(cells):
        raise UserError(
            f"The column '{on}' does not name the rows of {table.source}",
            expected="a different value in every row",
            got=f"{len(set(found)):,} values in {len(cells):,} rows",
        )
    return found


def _shares(table: Table, name: str) -> dict[str, list[Any]]:
    """The columns "name=class" of a system's probabilities, by class."""
    lead = f"{name}="
    return {n.removeprefix(lead): table.cells(n) for n in table.names if n.startswith(lead)}


def _measured(
    metrics: dict[str, Metric], rows: int, clusters: Clusters | None
) -> dict[str, dict[str, Any]]:
    spans = intervals(metrics, rows, clusters)
    return {
        name: asdict(span) | {"greater_is_better": metrics[name].greater_is_better}
        for name, span in spans.items()
    }


def _difference(
    build: Build, names: Sequence[str], rows: int, clusters: Clusters | None
) -> dict[str, dict[str, Any]]:
    first, second = (build([name]) for name in names)
    both = build(names)
    found: dict[str, dict[str, Any]] = {}
    for metric in first:
        if metric in second and metric in both:
            span = paired_difference(first[metric], second[metric], rows, clusters)
            p = approximate_randomisation(both[metric], rows, clusters, RESAMPLES)
            found[metric] = asdict(span) | {"p": p}
    corrected = holm([one["p"] for one in found.values()])
    for one, p in zip(found.values(), corrected, strict=True):
        one["p_holm"] = p
    return found


def _line(metric: str, found: dict[str, Any], signed: bool = False) -> str:
    value, low, high = (written(found[key], signed) for key in ("value", "low", "high"))
    return f"  {metric:<24}{value:>9}  [{low}, {high}]"


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return "; ".join(f"{key}: {_shown(one)}" for key, one in value.items())
    if isinstance(value, list):
        more = ", ..." if value[10:] else ""
        return ", ".join(map(str, value[:10])) + more
    return str(value)
