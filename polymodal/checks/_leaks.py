"""How well one column alone tells a target: far too well is a leak more often than luck."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from polymodal.checks._copies import codes
from polymodal.checks._finding import Finding
from polymodal.contract import kind
from polymodal.contract.defaults import of_kind
from polymodal.table import values
from polymodal.table.read import Table
from polymodal.table.schema import Column, Schema

Array = np.ndarray[Any, Any]
# Fewer rows, or fewer rows outside the largest class, say nothing.
MIN_ROWS, MIN_MINORITY = 50, 10
# A number is cut into quantile bins of this many rows, of which there are at most so many.
ROWS_PER_BIN, MAX_BINS = 8, 256
# Parts of a file's name that are looked at, from its start and from its end.
PARTS = 6
# How much of a constant guess's errors a column may avoid before it is pointed out.
STRONG, GIVES_AWAY = 0.6, 0.95
_PART = re.compile(r"[^\W\d_]+|\d+")


def give_aways(train: Table, schema: Schema) -> list[Finding]:
    """The strongest signal of each column, where it nearly alone tells a target."""
    found = list(signals(train, schema))
    findings = []
    for target in schema.targets:
        truth = target_values(train, target)
        if truth is None:
            continue
        best: dict[str, tuple[float, str, Column | None]] = {}
        for phrase, column, signal in found:
            told = strength(signal, truth)
            name = column.name if column else ""
            if told > best.get(name, (STRONG,))[0]:
                best[name] = (told, phrase, column)
        findings += [_finding(*b, target, len(train)) for b in best.values()]
    return findings


def _finding(told: float, phrase: str, column: Column | None, target: Column, rows: int) -> Finding:
    what = f"{phrase[0].upper()}{phrase[1:]} alone avoids {told:.0%} of the errors of guessing"
    if column is None or kind.of(column.kind).media:
        severity = "info"
        advice = "No model reads this, so it does no harm unless rows are split by it"
    else:
        severity = "warning" if told >= GIVES_AWAY else "info"
        advice = f"Is it known before the target is? If not: `drop {column.name}`"
    return Finding(severity, f"{what} '{target.name}'", rows, advice=advice)


def target_values(table: Table, target: Column) -> Array | None:
    """A category as codes (int64, -1 missing), a number as floats (NaN missing), else None."""
    cells = table.cells(target.name)
    task = of_kind(target.kind)
    if task is not None and task.one_class:
        names = [values.category(cell) for cell in cells]
        return np.where([name is None for name in names], -1, codes(names))
    if task is None or task.labels_of(()) is not None:
        return None
    found = numbers(cells)
    return None if np.isnan(found).all() else found


def signals(table: Table, schema: Schema) -> Iterator[tuple[str, Column | None, Array]]:
    """What might tell a target: a phrase for it, its column, and codes `(rows,)`.

    A number counts by its order and, where values come back, by its value; a text by being equal;
    of a file's name every part counts; last comes the order of the rows (without a column).
    """
    for column in schema.inputs:
        cells = table.cells(column.name)
        room = kind.of(column.kind)
        if room.media:
            yield from _name_parts(column, cells)
        elif room.is_ordered(column.kind):
            found = numbers(cells)
            yield f"column '{column.name}'", column, _bins(found)
            exact = codes(np.where(np.isnan(found), np.inf, found).tolist())
            if exact.max() < len(exact) / 2:
                yield f"column '{column.name}'", column, exact
        else:
            yield f"column '{column.name}'", column, codes(map(str, cells))
    yield "the order of the rows", None, _bins(np.arange(len(table), dtype=float))


def numbers(cells: Sequence[Any]) -> Array:
    """Cells as floats, NaN where missing or no number: `(rows,)`."""
    if all(type(cell) is float or cell is None for cell in cells):
        return np.array(cells, float)
    found = np.full(len(cells), np.nan)
    for row, cell in enumerate(cells):
        try:
            found[row] = values.number(cell)
        except ValueError:
            continue  # `prepare` reports such cells
    return found


def strength(signal: Array, target: Array) -> float:
    """How much better than a constant guess `signal` predicts `target`, from 0 to 1.

    By the commonest class (or the mean) of each code in one half of the rows, measured on the
    other half: of the constant guess's errors (or squared errors), the share that is avoided. 0
    where there are too few rows to tell.
    """
    known = target >= 0 if target.dtype.kind == "i" else ~np.isnan(target)
    signal, target = signal[known], target[known]
    if len(target) < MIN_ROWS:
        return 0.0
    classes = target.dtype.kind == "i"
    constant = np.argmax(np.bincount(target)) if classes else target.mean()
    half = np.random.default_rng(0).random(len(target)) < 0.5
    errors = base = 0.0
    for fitted in (half, ~half):
        lookup = np.full(signal.max() + 1, constant, np.float64)
        found, told = (_commonest if classes else _means)(signal[fitted], target[fitted])
        lookup[found] = told
        guess, truth = lookup[signal[~fitted]], target[~fitted]
        errors += np.sum(guess != truth) if classes else np.sum((guess - truth) ** 2)
        base += np.sum(constant != truth) if classes else np.sum((constant - truth) ** 2)
    if base == 0 or (classes and base < MIN_MINORITY):
        return 0.0
    return max(0.0, float(1 - errors / base))


def _commonest(signal: Array, target: Array) -> tuple[Array, Array]:
    """Codes, and of each the class that goes with it most often."""
    pairs, counts = np.unique(np.stack([signal, target]), axis=1, return_counts=True)
    order = np.lexsort((counts, pairs[0]))
    last = np.append(np.flatnonzero(np.diff(pairs[0][order])), len(order) - 1)
    chosen = order[last]
    return pairs[0][chosen], pairs[1][chosen]


def _means(signal: Array, target: Array) -> tuple[Array, Array]:
    found, inverse, counts = np.unique(signal, return_inverse=True, return_counts=True)
    return found, np.bincount(inverse, target) / counts


def _bins(found: Array) -> Array:
    """Quantile bins 1, 2, ...; 0 where missing."""
    known = ~np.isnan(found)
    count = int(np.clip(known.sum() // ROWS_PER_BIN, 2, MAX_BINS))
    if not known.any():
        return np.zeros(len(found), np.int64)
    edges = np.quantile(found[known], np.arange(1, count) / count)
    return np.where(known, 1 + np.searchsorted(edges, found, side="right"), 0)


def _name_parts(column: Column, cells: Sequence[Any]) -> Iterator[tuple[str, Column, Array]]:
    """The words and numbers in files' names, by position: "cat/017.png" has "cat" and "017"."""
    if not all(cell is None or isinstance(cell, str) for cell in cells):
        return
    split = [_PART.findall(cell.rpartition(".")[0]) if cell else [] for cell in cells]
    longest = max(map(len, split))
    for i in {*range(min(PARTS, longest)), *range(-min(PARTS, longest), 0)}:
        parts = [row[i] if -len(row) <= i < len(row) else "" for row in split]
        example = next((p for p in parts if p), "")
        yield f"'{example}' in the file names of '{column.name}'", column, codes(parts)
