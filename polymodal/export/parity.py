"""The proof that a graph, and a whole folder, answer as the run does."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import combinations, cycle
from pathlib import Path
from typing import Any

import numpy as np

from polymodal.base.errors import UserError
from polymodal.contract.answers import Answers, Array
from polymodal.contract.batch import Field
from polymodal.contract.supervised import Supervised
from polymodal.contract.task import Task
from polymodal.export.graphs import Flat, tensors
from polymodal.run.patterns import MOST
from polymodal.run.pipeline import Pipeline
from polymodal.table.infer import validate
from polymodal.table.ledger import Ledger
from polymodal.table.read import Table, read

# How far answers may be apart: probabilities, or standard deviations of a number.
LIMIT = 1e-4
# Batches of these sizes, one after the other: none is the example's.
SIZES = (1, 3, 7, 2, 32, 5)
# Rows that each set of missing modalities is proven on with their cells decoded anew.
FEW = 8


@dataclass(frozen=True)
class Apart:
    """The largest difference that was seen, and where."""

    most: float = 0.0
    where: str = ""

    def further(self, most: float, where: str) -> Apart:
        return Apart(most, where) if most > self.most else self


def absences(names: Sequence[str]) -> list[frozenset[str]]:
    """The sets of modalities to leave out: all of them of up to MOST modalities; of more, none,
    each, all but each, and all."""
    sizes = range(len(names) + 1)
    if len(names) > MOST:
        sizes = [0, 1, len(names) - 1, len(names)]  # type: ignore[assignment]
    return [frozenset(gone) for size in sizes for gone in combinations(names, size)]


def member(
    name: str, graph: Any, flat: Flat, fields: Mapping[str, Field], model: Pipeline, prepared: Any
) -> Apart:
    """A member's graph against the member: real rows, every set of modalities missing.

    Args:
        graph: takes and gives named arrays.
        fields: all rows.

    Raises:
        UserError: they are more than LIMIT apart.
    """
    count = len(next(iter(fields.values())).present)
    gone = absences(list(fields))
    wanted = model.score(name, prepared, np.arange(count), gone)
    apart = Apart()
    for absent, true in zip(gone, wanted, strict=True):
        for rows in _batches(count):
            given = {n: _without(some(f, rows), n in absent) for n, f in fields.items()}
            parts = (part.numpy() for part in tensors(given))
            found = graph(dict(zip(flat.inputs, parts, strict=True)))
            for target, task in flat.tasks.items():
                answers = list(found[f"{target}.answer"])
                if f"{target}.length" in found:
                    ends = found[f"{target}.length"].tolist()
                    answers = [a[:end] for a, end in zip(answers, ends, strict=True)]
                own = [true[target][i] for i in rows]
                apart = apart.further(*_difference(task, own, answers, rows, absent))
    _judge(f"The graph of '{name}'", apart)
    return apart


def whole(package: Path, model: Pipeline, table: Table) -> Apart:
    """An exported folder against the pipeline: raw rows, then some with every set missing.

    Raises:
        UserError: they are more than LIMIT apart, or do not say alike what rows lack.
    """
    rows = [{n: row[n] for n in row if n in _inputs(model)} for row in table.data.to_pylist()]
    grouped = model.schema.modalities()
    apart = Apart()
    with imported(package) as module:
        loaded = module.load()
        for absent in absences(list(grouped)):
            some_rows = rows if not absent else rows[:FEW]
            hidden = {c.name for name in absent for c in grouped[name]}
            given = [{n: None if n in hidden else v for n, v in row.items()} for row in some_rows]
            true, present = combined(model, given, table.base)
            found, there = loaded.answers(given, table.base)
            for name, own in present.items():
                if not np.array_equal(own, there[name]):
                    row = int(np.flatnonzero(own != there[name])[0])
                    raise UserError(
                        f"The exported folder reads '{name}' otherwise than the run",
                        expected="the same cells missing",
                        got=f"another one in row {row}: {given[row]!r}"[:300],
                        do="report it, with this row",
                    )
            numbers = np.arange(len(given))
            for target, task in model.tasks.items():
                found_here = _difference(task, true[target], found[target], numbers, absent)
                apart = apart.further(*found_here)
    _judge("The exported folder", apart)
    return apart


def combined(
    model: Pipeline, rows: Sequence[Mapping[str, Any]], base: str | None
) -> tuple[dict[str, Answers], Mapping[str, Array]]:
    """What the pipeline answers to some rows, and which modalities they have."""
    table = validate(model.schema, read(rows, base), require_targets=False)
    every, numbers = used(model), np.arange(len(rows))
    prepared = model.encode(table, Ledger(), every)
    present = model.present(table, prepared)
    scores = {name: model.score(name, prepared, numbers, [()])[0] for name in every}
    return model.combine(scores, present=present), present


def used(model: Pipeline) -> list[str]:
    """The members that answer rows: the fused model's, and those of rows that lack something."""
    lacking = [own for targets in model.partial.values() for own in targets.values()]
    names = [*model.used(), *(name for shares in lacking for name in shares)]
    return [name for name in dict.fromkeys(names) if name in model.members]


def some(field: Field, rows: Array) -> Field:
    """Some rows, no longer than they are."""
    data, present = field.data[rows], field.present[rows]
    if field.mask is None:
        return Field(data, None, present)
    mask = field.mask[rows]
    length = max(1, int(mask.sum(1).max()))
    return Field(data[:, :length], mask[:, :length], present)


def _inputs(model: Pipeline) -> set[str]:
    return {column.name for column in model.schema.inputs}


def _batches(count: int) -> Iterator[Array]:
    start = 0
    for size in cycle(SIZES):
        if start >= count:
            return
        yield np.arange(start, min(start + size, count))
        start += size


def _without(field: Field, absent: bool) -> Field:
    return Field(field.data, field.mask, field.present & (not absent))


def _difference(
    task: Task | Supervised, true: Answers, found: Answers, rows: Array, absent: Collection[str]
) -> tuple[float, str]:
    """The largest difference of some rows' answers, and where it is."""
    scale = getattr(task, "scale", 1.0) if isinstance(task, Supervised) and task.continuous else 1.0
    most, where = 0.0, 0
    for row, one, other in zip(rows.tolist(), true, found, strict=True):
        alike = np.shape(one) == np.shape(other)
        own = float(np.abs(one - other).max(initial=0)) / scale if alike else np.inf
        if not own <= most:  # what is no number is apart too
            most, where = own if own == own else np.inf, row
    gone = f" without {', '.join(sorted(absent))}" if absent else ""
    return most, f"'{task.name}' in row {where}{gone}"


def _judge(what: str, apart: Apart) -> None:
    if apart.most > LIMIT:
        raise UserError(
            f"{what} does not answer as the run does: nothing was written",
            expected=f"answers at most {LIMIT:g} apart",
            got=f"{apart.most:.2g} for {apart.where}",
            do="report it; the run itself can be served meanwhile",
        )


@contextmanager
def imported(package: Path) -> Iterator[Any]:
    """The module `model` of an exported package, which is imported inside only."""

    def ours() -> list[str]:
        return [n for n in sys.modules if n.partition(".")[0] == package.name]

    for name in ours():
        del sys.modules[name]
    sys.path.insert(0, str(package.parent))
    importlib.invalidate_caches()
    try:
        yield importlib.import_module(f"{package.name}.export.package.model")
    finally:
        sys.path.remove(str(package.parent))
        for name in ours():
            del sys.modules[name]
