"""What is wrong, or may be, with a table before anything is trained on it."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from polymodal.base import arrow, lookup
from polymodal.base.errors import UserError
from polymodal.base.options import for_python
from polymodal.checks import _leaks, _repeats
from polymodal.checks._doubts import doubts
from polymodal.checks._finding import Finding
from polymodal.checks.split import labels
from polymodal.contract import kind
from polymodal.contract.defaults import default
from polymodal.contract.form import Form
from polymodal.contract.placing import Placing
from polymodal.contract.task import Task
from polymodal.contract.writing import Writing
from polymodal.prepared import targets
from polymodal.prepared.cache import default_folder
from polymodal.prepared.cells import Contents, cells
from polymodal.prepared.encode import encode
from polymodal.table import chat, numbers
from polymodal.table.read import Odd, Table
from polymodal.table.schema import Column, Schema

SEVERITIES = ("error", "warning", "info")
FEW_ROWS, SOME_ROWS = 5, 10
# What share of missing cells is a warning.
MANY_MISSING = 0.5
# Media cells a column that are decoded as a sample.
SAMPLE = 200


@dataclass
class Report:
    """All findings, the worst first."""

    findings: list[Finding] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.findings.sort(key=lambda f: SEVERITIES.index(f.severity))

    def lines(self, written: Callable[[str], str] = for_python) -> list[str]:
        """For printing: what, with an example and advice.

        Args:
            written: how advice is written for whoever reads it.
        """
        lines = []
        for f in self.findings:
            example = f" (for example {f.example})" if f.example else ""
            advice = f" {written(f.advice)}" if f.advice else ""
            advice = advice and advice + "." * (advice[-1] not in ".?!")
            lines.append(f"{f.severity:<8} {written(f.what)}{example}.{advice}")
        return lines

    def raise_for_errors(self) -> None:
        """UserError if anything was found that a fit fails on."""
        errors = [f.what for f in self.findings if f.severity == "error"]
        if errors:
            raise UserError(
                "A fit of this table would fail",
                expected="no finding of the severity error",
                got="; ".join(errors),
                do="see the lines above",
            )

    def to_json(self) -> list[dict[str, Any]]:
        return [asdict(f) for f in self.findings]


def check(
    train: Table,
    schema: Schema,
    valid: Table | None = None,
    test: Table | None = None,
    *,
    cache: Path | None = None,
    contents: Sequence[Contents] | None = None,
    forms: Mapping[str, Form] | None = None,
    max_bad_rows: int = 0,
    tasks: Mapping[str, Task] | None = None,
) -> Report:
    """Look for what spoils training or flatters its figures.

    Repeated rows and media (by content) within and across tables, columns that give a target
    away, classes with few rows, missing and constant columns, unreadable cells, groups on both
    sides, equal inputs with different targets.

    Args:
        valid, test: tables that must not share rows, media or groups with `train`.
        cache: where files' hashes are remembered; by default the cache's folder.
        contents: of each of the tables, where they are asked for more than once.
        forms: media column -> form that decodes a sample of it; without one media are only opened.
        max_bad_rows: so many unreadable cells of a column are a warning only.
        tasks: target -> the task that is asked for, where it is not its kind's default.
    """
    tables = [t for t in (train, valid, test) if t is not None]
    findings = _targets(train, schema, tasks or {}) + _columns(train, schema)
    findings += [
        Finding("warning", note, 1) for note in dict.fromkeys(n for t in tables for n in t.notes)
    ]
    hashed = contents or [Contents(table, cache or default_folder()) for table in tables]
    keys = {}
    findings += [_odd(table, one) for table in tables for one in table.odd]
    findings += doubts(train, schema)
    for column in schema.inputs:
        keys[column.name], found = _repeats.contents(hashed, column, max_bad_rows)
        findings += found
    for name, form in (forms or {}).items():
        findings += _sample(tables, schema.column(name), form, keys[name], max_bad_rows)
    findings += _repeats.rows(tables, schema, keys)
    for column in schema.inputs:
        findings += _repeats.column(tables, schema, column, keys)
    findings += _repeats.groups(tables, schema) + _leaks.give_aways(train, schema)
    return Report(findings)


def _targets(train: Table, schema: Schema, named: Mapping[str, Task]) -> list[Finding]:
    findings = []
    for target in schema.targets:
        read, task = train.cells(target.name), named.get(target.name)
        missing = sum(cell is None for cell in read)
        if task is not None and task.columns == (target.name,):
            missing = sum(not task.is_known(cell) for cell in read)
        if missing:
            what = f"{missing:,} of {len(train):,} rows have no '{target.name}' to learn from"
            findings.append(Finding("info", what, missing))
        found = labels(train, target)
        if found is None:
            known = (cell for cell in read if cell is not None)
            different = len(
                {repr(cell) if isinstance(cell, list | dict) else cell for cell in known}
            )
        else:
            counts = Counter(label for row in found for label in set(row))
            different = len(counts)
            findings += _small_classes(target, counts)
        if different > 1:
            findings += _learned(train, schema, target, read, task)
        else:
            what = f"Target '{target.name}' has {'only one value' if different else 'no values'}"
            findings.append(Finding("error", f"{what}: there is nothing to learn", different))
    return findings


def _learned(
    train: Table, schema: Schema, target: Column, read: Sequence[Any], named: Task | None
) -> list[Finding]:
    """Why the target's own task cannot learn from these rows, or what it remarks of them.

    Args:
        read: its cells.
        named: the task that is asked for, not fitted; None: its kind's default.
    """
    kinds = [column.kind for column in schema.inputs]
    name = default(target.kind, kinds, lambda: read)
    if named is None and name is None:
        return []
    if named is not None and named.columns != (target.name,) and not isinstance(named, Placing):
        return []
    task = copy.deepcopy(named) or lookup.build("tasks", str(name), target.name)
    try:
        introduce(task, schema, train)
        rows, cells = np.arange(len(train)), targets.cells(task, train)
        task.fit(targets.fitting(task, train, schema, rows, cells), target.details)
    except UserError as error:
        words = [f"Expected: {error.expected}" if error.expected else "", error.do]
        advice = "; ".join(filter(None, words))
        return [Finding("error", error.what, 1, error.got, advice[:1].upper() + advice[1:])]
    return [Finding(severity, what, 1) for severity, what in task.remarks()]


def introduce(task: Task, schema: Schema, table: Table) -> None:
    """Tell a task what models may read beside it.

    Raises:
        UserError: it names a column that is skipped, or is no input for another reason.
    """
    for name in task.named if isinstance(task, Writing) else ():
        if (why := schema.skipped.get(name)) is not None:
            keep = f"keep it: `kind {name}={_declared(table, name)}`"
            raise UserError(
                f"The template of '{task.name}' names '{name}', which is skipped ({why})",
                do=f"{'do not drop it' if why == 'dropped' else keep}, or do not name it",
            )
    grouped = schema.modalities()
    columns = {name: {c.name: c.kind for c in own} for name, own in grouped.items()}
    task.introduce(columns, table.cells)


def _declared(table: Table, name: str) -> str:
    """What a column that is skipped may be declared as."""
    data = table.data.column(name)
    found = numbers.find(data) if arrow.is_plain(data.type) else None
    plain = found is not None and found.reading.what != "several"
    return "number" if plain else kind.worded()


def _small_classes(target: Column, counts: Counter[str]) -> list[Finding]:
    findings = []
    for severity, low, high in (("warning", 0, FEW_ROWS), ("info", FEW_ROWS, SOME_ROWS)):
        small = sorted((n, name) for name, n in counts.items() if low <= n < high)
        if small:
            what = f"{len(small):,} of {len(counts):,} classes of '{target.name}' have fewer than"
            example = f"'{small[0][1]}' has {small[0][0]}"
            advice = "Collect more of them, merge them, or expect them to be missed"
            findings.append(Finding(severity, f"{what} {high} rows", len(small), example, advice))
    return findings


def _columns(train: Table, schema: Schema) -> list[Finding]:
    findings = []
    for column in schema.inputs:
        missing = train.data.column(column.name).null_count
        if missing:
            what = f"{missing:,} of {len(train):,} cells of '{column.name}' are missing"
            # Not every turn of a conversation shows a picture: nothing is wrong with that.
            spoken = chat.group(train.names) is not None and chat.is_medium(column.name)
            many = missing >= MANY_MISSING * len(train) and not spoken
            severity = "warning" if many else "info"
            findings.append(Finding(severity, what, missing))
        room = kind.of(column.kind)
        outside = train.outside(column.name) if room.media else []
        if outside:
            what = f"{len(outside):,} of {len(train):,} cells of '{column.name}' name files outside"
            what += " the table's folder"
            example = f"row {train.number(outside[0])}: {train.cells(column.name)[outside[0]]}"
            findings.append(Finding("info", what, len(outside), example))
        if not room.media:
            findings += _doubts(train, column, room)
        if not room.media and len(set(map(repr, train.cells(column.name)))) == 1:
            what = f"Column '{column.name}' holds the same in all {len(train):,} rows"
            advice = f"Leave it out: `drop {column.name}`"
            findings.append(Finding("warning", what, len(train), advice=advice))
    return findings


def _odd(table: Table, note: Odd) -> Finding:
    """Cells that are not of their column's kind: their rows are used without them."""
    what = f"{len(note.rows):,} of {len(table):,} cells of '{note.column}' in {table.source}"
    advice = "They count as missing; mend them, or say how they are written"
    what += f" is no {note.kind}" if len(note.rows) == 1 else f" are no {note.kind}s"
    return Finding("warning", what, len(note.rows), note.example, advice)


def _doubts(train: Table, column: Column, room: kind.Kind) -> list[Finding]:
    present = [cell for cell in train.cells(column.name) if cell is not None]
    why = room.doubt(column.kind, present)
    if why is None:
        return []
    what = f"There is little to learn from in '{column.name}': {why}"
    return [Finding("warning", what, len(present), advice="See whether it is read as it should be")]


def _sample(
    tables: Sequence[Table],
    column: Column,
    form: Form,
    keys: Sequence[Sequence[Any]],
    max_bad_rows: int,
) -> list[Finding]:
    """Decode some cells of those that open, to find those that are broken nevertheless."""
    findings = []
    for i, table in enumerate(tables):
        opened = np.array([row for row, key in enumerate(keys[i]) if isinstance(key, bytes)], int)
        rows = opened[:: max(1, len(opened) // SAMPLE)][:SAMPLE]
        if not i:
            form.fit(cells(table, [column], rows))
            findings += [
                Finding("warning", f"Cells of '{column.name}' {note}", len(rows))
                for note in form.notes
            ]
        outcomes = [outcome for _, outcome in encode(table, column, form, rows, 1, None)]
        cut = sum(outcome[1] for outcome in outcomes if not isinstance(outcome, str))
        if cut:
            name = f"{form.kind}/{type(form).__module__.rpartition('.')[2]}"
            what = f"{cut:,} of {len(rows):,} sampled cells of '{column.name}' in {table.source}:"
            what += f" each {form.beyond.format(form=name)}"
            findings.append(Finding("warning", what, cut))
        reasons = [outcome for outcome in outcomes if isinstance(outcome, str)]
        if reasons:
            what = f"{len(reasons):,} of {len(rows):,} sampled cells of '{column.name}' in"
            what += f" {table.source} cannot be decoded"
            findings.append(Finding.unreadable(what, reasons, max_bad_rows))
    return findings
