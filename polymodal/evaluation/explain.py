"""Why a model answered as it did to one row: which modality carried it, and which parts of a cell.

Support is what is explained, of the answer that the fused model gave with all of the row: of a
class its probability, of a number the number itself; each task says what (`Task.support`).

A modality's share is its Shapley value in the game of the row's supports; a missing modality's is
exactly 0. In a row that has any, the shares add up to the support less that of the answer to no
input, which is the commonest class or the mean (`Task.constant`). A part's loss is
what the support loses when the part is replaced as its kind does; above 0 it speaks for the answer.
Losses do not add up to anything.

A row takes at most 2^M passes through the fusion and, per modality, parts.PARTS (two sorts of
parts: SPANS more) and one through its encoder and the fusion.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from polymodal.base.devices import device_of
from polymodal.base.errors import UserError
from polymodal.base.spelling import several
from polymodal.contract import kind
from polymodal.contract.batch import Batch, Field
from polymodal.contract.coded import said
from polymodal.contract.task import Task
from polymodal.evaluation import sets
from polymodal.metrics._weighted import Array
from polymodal.metrics.contribution import Names, shapley, subsets
from polymodal.prepared.cells import cells
from polymodal.prepared.prepare import Prepared
from polymodal.run.run import Run
from polymodal.run.saved import opened
from polymodal.table.ledger import Ledger
from polymodal.table.read import Table
from polymodal.train.loop import collect
from polymodal.train.passes import passes, told

# Rows whose series say what a channel is like.
SAMPLE = 32


def explain(
    run: Run | str | Path,
    source: Any,
    rows: Sequence[int],
    targets: str | Sequence[str] | None = None,
    *,
    max_bad_rows: int = 0,
) -> dict[str, dict[str, Any]]:
    """Explain the fused model's answers to some rows; each is explained on its own.

    Args:
        run: or its folder.
        source: a table, in any form that `read` takes.
        rows: numbers of its rows.
        targets: some of the run's; all by default.
        max_bad_rows: cells of a modality that may be unreadable; they count as missing.

    Returns:
        Target -> {"of": support in words, "rows": one explanation each: "row", "answer",
        "support", "nothing" (the support of the answer to no input), "shapley": modality -> share
        (empty with more than sets.MOST modalities), "parts": one entry for every sort of part of
        every modality the row has: "modality", "unit", "replaced_by", "layout" (one of
        `contract.parts.LAYOUTS`), "columns" (of a grid, else
        0), "labels", "losses"}.

    Raises:
        UserError: the table has no such row.
    """
    run = opened(run)
    table = run.table(source)
    wrong = [row for row in rows if not 0 <= row < len(table)]
    if wrong:
        raise UserError(
            f"{table.source} has no row {wrong[0]}", expected=f"rows from 0 to {len(table) - 1}"
        )
    asked = _Asked(run, table, rows, max_bad_rows)
    return {
        name: {
            "of": task.supports,
            "rows": [{"row": int(row), **asked.explanation(i, task)} for i, row in enumerate(rows)],
        }
        for name, task in run.tasks.items()
        if targets is None or name in several(targets)
    }


class _Asked:
    """What the fused model scores on some rows, whole and with parts of their cells replaced.

    Attributes:
        here: per row the modalities that it has.
        forms: modality -> those in which some member reads it that answers one of the rows.
        scores: set of present modalities -> member -> target -> scores of the rows.
    """

    def __init__(self, run: Run, table: Table, rows: Sequence[int], max_bad_rows: int) -> None:
        self.run, self.table = run, table
        self.rows = table.take(list(rows))
        self.prepared = run.prepare(self.rows, Ledger(), max_bad_rows=max_bad_rows)
        self.columns = run.schema.modalities()
        present = run.present(self.rows, self.prepared)
        members = [run.members[name] for name in run.pipeline.standing().asked_for(present)]
        self.forms = {
            name: sorted({member.forms[name] for member in members if name in member.forms})
            for name in self.columns
        }
        self.here = [
            frozenset(name for name, own in present.items() if own[row]) for row in range(len(rows))
        ]
        everyone = frozenset(self.columns)
        teams = subsets(list(self.columns))[1:] if len(everyone) <= sets.MOST else [everyone]
        gone = [everyone - team for team in teams]
        scored = run.scores_without(self.prepared, np.arange(len(rows)), gone)
        self.scores = dict(zip(teams, scored, strict=True))
        self.occluded = [self._occluded(row) for row in range(len(rows))]

    def explanation(self, row: int, task: Task) -> dict[str, Any]:
        """Of one row's answer to one target."""
        target = task.name
        everyone = max(self.scores, key=len)
        answered = self._combined(everyone, row, target)
        present = {name: np.array([name in self.here[row]]) for name in self.columns}
        here = self.here[row] & self.run.pipeline.standing().felt(target, present)
        empty = task.constant([answered])[0]
        values: dict[Names, float] = {frozenset(): task.support(empty, answered)}
        for team in self.scores:
            # Without any of what the row has the model knows nothing.
            if team <= here:
                scores = self._combined(team, row, target)
                # Without the tagged text no word is tagged, and nothing better known of any.
                tagged = task.words is None or len(scores)
                values[team] = task.support(scores, answered) if tagged else values[frozenset()]
        full = task.support(answered, answered)
        complete = len(self.scores) > 1 or len(everyone) == 1
        shares = dict.fromkeys(self.columns, 0.0)
        found = []
        for part, rescored, left in self.occluded[row]:
            combined = self.run.combine(rescored, targets=[target], present=left)[target]
            supports = [task.support(own, answered) for own in combined]
            losses = [supports[0] - own for own in supports[1:]]
            found.append({**part, "losses": losses})
        return {
            "answer": said(task, answered),
            "support": full,
            "nothing": values[frozenset()],
            "shapley": shares | shapley(values) if complete else {},
            "parts": found,
        }

    def _combined(self, team: Names, row: int, target: str) -> Array:
        scores = {
            member: {target: [own[target][row]]}
            for member, own in self.scores[team].items()
            if target in own
        }
        here = {name: np.array([name in team & self.here[row]]) for name in self.columns}
        found: Array = self.run.combine(scores, targets=[target], present=here)[target][0]
        return found

    def _occluded(self, row: int) -> list[tuple[dict[str, Any], dict[str, Any], dict[str, Any]]]:
        """Each sort of parts; member -> target -> scores: of the whole cell, then without each
        part; and which modalities are left then."""
        found = []
        for modality in self.columns:
            if modality not in self.here[row] or not self.forms[modality]:
                continue
            columns = self.columns[modality]
            cell = next(cells(self.rows, columns, np.array([row])))
            forms = [self.run.forms[i] for i in self.forms[modality]]
            room = kind.of(columns[0].kind)
            whole, sorts = room.parts(cell, forms, self._sample(modality))
            for sort in sorts:
                described = {
                    "modality": modality,
                    "unit": sort.unit,
                    "replaced_by": sort.replaced_by,
                    "layout": sort.layout,
                    "columns": sort.columns,
                    "labels": sort.labels,
                }
                given = [whole, *sort.cells]
                left = {n: np.full(len(given), n in self.here[row]) for n in self.columns}
                left[modality] = np.array([not _is_missing(cell) for cell in given])
                found.append((described, self._rescored(row, modality, given, left), left))
        return found

    def _sample(self, modality: str) -> Any:
        """Some of the table's cells of a modality."""
        rows = np.unique(np.linspace(0, len(self.table) - 1, SAMPLE).astype(int))
        found = cells(self.table, self.columns[modality], rows)
        return (cell for cell in found if cell is not None)

    def _rescored(
        self, row: int, modality: str, given: Sequence[Any], left: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Member -> target -> scores of the row with each of the given cells in place of its own.

        What is not replaced is encoded once.

        Args:
            left: modality -> whether the row has it then, with each of the cells.
        """
        fields: dict[int, Field] = {}
        for i in self.forms[modality]:
            form, shape = self.run.forms[i], self.prepared[i].shape
            present = [k for k, cell in enumerate(given) if not _is_missing(cell)]
            arrays: list[Array | None] = [None] * len(given)
            for k, array in zip(
                present, form.encode_many([given[k] for k in present]), strict=True
            ):
                arrays[k] = array
            fields[i] = Prepared.of(arrays, form, shape).gather(np.arange(len(given)))
        found: dict[str, Any] = {}
        for name in self.run.pipeline.standing().asked_for(left):
            forms = self.run.members[name].forms
            if modality in forms:
                found[name] = self._member(name, row, {modality: fields[forms[modality]]})
            else:
                own = self.scores[max(self.scores, key=len)][name]
                found[name] = {t: [scores[row]] * len(given) for t, scores in own.items()}
        return found

    def _member(self, name: str, row: int, given: Mapping[str, Field]) -> dict[str, list[Any]]:
        """A member's scores of the row: target -> one for each row of the given fields."""
        member = self.run.members[name]
        module, place = member.module, device_of(member.module)
        count = max(len(field.present) for field in given.values())
        own = {
            m: self.prepared[i].gather(np.array([row])).to(place)
            for m, i in member.forms.items()
            if m not in given
        }
        varied = {m: field.to(place) for m, field in given.items()}
        inputs = {m: _repeated(field, count) for m, field in own.items()} | varied
        targets = module.targets
        scored: dict[str, list[Any]] = {target: [None] * count for target in targets}
        tasks = {target: self.run.tasks[target] for target in targets}
        batch = Batch(inputs, {}, torch.arange(count))
        with torch.inference_mode():
            for seen, asked in passes(batch, tasks, module):
                # Where nothing was hidden, what is not replaced is one row still.
                once = own | varied if seen is batch else seen.inputs
                all_rows = torch.arange(len(seen), device=place)
                tokens = {m: t.take(all_rows % len(t.mask)) for m, t in module.encode(once).items()}
                outputs = module.fuse(tokens, (), told(seen, asked), asked)
                collect(scored, np.arange(count), asked, seen, outputs)
        return scored


def _repeated(field: Field, count: int) -> Field:
    """One row as many, without a copy."""
    mask = None if field.mask is None else field.mask.expand(count, -1)
    data = field.data.expand(count, *field.data.shape[1:])
    return Field(data, mask, field.present.expand(count))


def _is_missing(cell: Any) -> bool:
    """Whether a table's row has no cell left."""
    return isinstance(cell, Mapping) and all(value is None for value in cell.values())
