"""Rows to training and validation: classes in proportion, groups and repeated rows together."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from polymodal.base.arrow import is_text
from polymodal.base.errors import UserError
from polymodal.checks import _copies
from polymodal.checks._copies import codes
from polymodal.contract.defaults import of_kind
from polymodal.contract.task import Task
from polymodal.prepared.cache import default_folder
from polymodal.prepared.cells import Contents
from polymodal.table import values
from polymodal.table.dates import scalar
from polymodal.table.numbers import find
from polymodal.table.read import Table
from polymodal.table.reading import Reading
from polymodal.table.schema import Column, Schema

# A number target is stratified by so many quantiles.
BINS = 10
# Parts of about as many rows that time is cut into.
PERIODS = 30
Rows = np.ndarray[Any, Any]


def split(
    table: Table,
    schema: Schema,
    how: str = "auto",
    *,
    valid: float = 0.15,
    seed: int = 0,
    group: str | None = None,
    time: str | None = None,
    contents: Contents | None = None,
) -> tuple[Rows, Rows]:
    """Row numbers for training and for validation, each sorted.

    Groups are never split apart. Copies, rows with equal inputs (media by their content) that
    chance does not explain, go to one side. Every class that occurs is trained on; except by time,
    where the past is for training whatever it holds.

    Args:
        how: "random"; "stratified" by the first target (a number by its quantiles); "group", the
            same but insisting on a group; "time": the latest rows are for validation; or "auto":
            "time" if `time` is given, else "stratified".
        valid: share of the rows for validation, met as closely as groups allow.
        group: column whose equal values are not split apart; by default the schema's.
        time: column of numbers or dates, for "time".
        contents: the table's, where they are asked for more than once.

    Raises:
        UserError: too few rows, groups or moments; or missing cells in `group` or `time`.
    """
    if not 0 < valid < 1:
        raise UserError(f"The validation share is {valid}", expected="a share between 0 and 1")
    if len(table) < 2:
        raise UserError(
            f"{table.source} has one row, which cannot be split", expected="at least 2 rows"
        )
    group = group or schema.group
    if _resolved(how, group, time) == "time":
        return _latest(_moments(table, schema, time), valid, table)
    units = _units(table, schema, group, 2, contents)
    strata = _strata(table, schema, how)
    side = _assign(units, strata, np.array([1 - valid, valid]), seed)
    if not (side == 1).any():
        # A few large units, each nearer to training's share: the smallest one is given up.
        side[units == np.argmin(np.bincount(units))] = 1
    _keep_classes(side, units, table, schema)
    if not (side == 1).any():
        # What was held out was all that some class had: another unit may be spared.
        side = _spared(units, table, schema)
    if not (side == 1).any():
        raise UserError(
            f"{table.source} has too few rows of each class to spare any for validation",
            do="give validation rows: `valid FILE`",
        )
    return np.flatnonzero(side == 0), np.flatnonzero(side == 1)


def folds(
    table: Table,
    schema: Schema,
    k: int,
    how: str = "auto",
    *,
    seed: int = 0,
    group: str | None = None,
    time: str | None = None,
    contents: Contents | None = None,
) -> list[tuple[Rows, Rows]]:
    """`k` pairs of training and validation rows, divided as by `split`.

    Every row is validated once; except by time, where fold i is trained on the first i of k + 1
    periods and validated on the next.

    Raises:
        UserError: fewer rows, groups or moments than needed; missing cells in `group` or `time`.
    """
    if k < 2:
        raise UserError(f"{k} folds were asked for", expected="at least 2")
    group = group or schema.group
    if _resolved(how, group, time) == "time":
        return _periods(_moments(table, schema, time), k, table)
    units = _units(table, schema, group, k, contents)
    fold = _assign(units, _strata(table, schema, how), np.full(k, 1 / k), seed)
    return [(np.flatnonzero(fold != i), np.flatnonzero(fold == i)) for i in range(k)]


def together(
    contents: Contents, schema: Schema, how: str = "auto", *, time: str | None = None
) -> Rows | None:
    """What of a table without groups is not to be cut apart inside its training rows either.

    A model that is chosen, or stacked, by parts of the training rows may not know a part's copies,
    nor what happened at the same time.

    Args:
        how, time: as of `split`.

    Returns:
        `(rows,)` equal numbers for copies of a row or, where rows are divided by time, for rows of
        the same period, PERIODS in all; None where rows are independent.
    """
    table = contents.table
    if _resolved(how, None, time) == "time":
        _, inverse, counts = np.unique(
            _moments(table, schema, time), return_inverse=True, return_counts=True
        )
        middle = (np.cumsum(counts) - counts / 2) / len(table)
        return (middle * PERIODS).astype(np.int64)[inverse]
    units = _equal_rows(contents, schema)
    return units if len(np.unique(units)) < len(table) else None


def _resolved(how: str, group: str | None, time: str | None) -> str:
    known = ("auto", "random", "stratified", "group", "time")
    if how not in known:
        raise UserError(f"There is no split '{how}'", expected=f"one of {', '.join(known)}")
    if how == "auto":
        how = "time" if time else "stratified"
    if how == "group" and not group:
        raise UserError("A split by group needs a group", do="`group COLUMN`")
    if how == "time" and not time:
        raise UserError("A split by time needs a column of times", do="data.time: COLUMN")
    return how


def _assign(units: Rows, strata: Rows, shares: Rows, seed: int) -> Rows:
    """A part for every row: units whole, parts by `shares`, every stratum in proportion.

    Units, the largest first, go one by one where they are most due: Webster's method of
    apportionment for each stratum and for the whole. So a stratum's first rows go to a part with
    a large share: what is rare is trained on.

    Args:
        units: `(rows,)` codes of what must stay together.
        strata: `(rows,)` codes of what is to be spread.
        shares: `(parts,)`, summing to 1.

    Returns:
        `(rows,)` positions in `shares`.
    """
    rng = np.random.default_rng(seed)
    pairs, amounts = np.unique(np.stack([units, strata]), axis=1, return_counts=True)
    unit_sizes, totals = np.bincount(units), np.bincount(strata)
    ends = np.cumsum(np.bincount(pairs[0]))
    queue = rng.permutation(len(unit_sizes))
    queue = queue[np.argsort(-unit_sizes[queue], kind="stable")]
    counts, sizes = np.zeros((len(totals), len(shares))), np.zeros(len(shares))
    part = np.empty(len(unit_sizes), np.int64)
    for unit in queue.tolist():
        own = slice(ends[unit - 1] if unit else 0, ends[unit])
        found, amount, size = pairs[1, own], amounts[own, None], unit_sizes[unit]
        due = ((2 * counts[found] + amount) * amount / totals[found, None]).sum(0)
        due += (2 * sizes + size) * size / len(units)
        chosen = int((due / shares).argmin())
        part[unit] = chosen
        counts[found, chosen] += amount[:, 0]
        sizes[chosen] += size
    return part[units]


def _units(
    table: Table, schema: Schema, group: str | None, need: int, contents: Contents | None
) -> Rows:
    """What must not be split apart: groups, else rows with equal inputs."""
    if group is not None:
        units = codes(_complete(table, group, "group"))
        what = f"different values of '{group}'"
    else:
        units = _equal_rows(contents or Contents(table, default_folder()), schema)
        what = "different rows"
    found = int(units.max()) + 1
    if found < need:
        raise UserError(
            f"{table.source} cannot be divided in {need}: it has too few {what}",
            expected=f"at least {need}",
            got=str(found),
            do="ask for fewer folds (`folds`), or give validation rows (`valid FILE`)",
        )
    return units


def _equal_rows(contents: Contents, schema: Schema) -> Rows:
    """Equal numbers for copies of a row; where chance explains equal rows, each has its own."""
    table = contents.table
    keys = {c.name: _copies.contents([contents], c)[0] for c in schema.inputs}
    # To keep short texts together that are alike by chance costs nothing; to split copies does.
    (found,), chance = _copies.equal([table], schema.inputs, keys, words=1)
    copies = int(_copies.repeats(found).sum()) > _copies.explained(chance, len(table) ** 2 / 2)
    return found if copies else np.arange(len(table))


def labels(table: Table, target: Column) -> list[list[str]] | None:
    """Each row's classes, none where missing; None of a target of numbers."""
    return (of_kind(target.kind) or Task).labels_of(table.cells(target.name))


def _key(cell: Any) -> Any:
    return repr(cell) if isinstance(cell, list | dict) else cell


def _strata(table: Table, schema: Schema, how: str) -> Rows:
    if how == "random" or not schema.targets:
        return np.zeros(len(table), np.int64)
    target = schema.targets[0]
    found = labels(table, target)
    if found is None:
        numbers = np.array([_number_or_nan(cell) for cell in table.cells(target.name)])
        known = ~np.isnan(numbers)
        edges = np.quantile(numbers[known], np.arange(1, BINS) / BINS) if known.any() else []
        return np.where(known, np.searchsorted(edges, numbers, side="right"), BINS)
    often = Counter(label for row in found for label in row)
    # A row with several labels counts by its rarest, which is the hardest to spread.
    return codes(min(row, key=lambda label: (often[label], label), default="") for row in found)


def _number_or_nan(cell: Any) -> float:
    try:
        return values.number(cell)
    except ValueError:
        return np.nan  # the task will say so


def _keep_classes(side: Rows, units: Rows, table: Table, schema: Schema) -> None:
    """Move to training (0) a unit of every class that would occur in validation (1) alone."""
    for target in schema.targets:
        found = labels(table, target)
        if found is None:
            continue
        trained = {label for row in np.flatnonzero(side == 0) for label in found[row]}
        for row in np.flatnonzero(side == 1):
            if not trained.issuperset(found[row]):
                moved = units == units[row]
                side[moved] = 0
                trained.update(label for i in np.flatnonzero(moved) for label in found[i])


def _spared(units: Rows, table: Table, schema: Schema) -> Rows:
    """A side with the smallest unit held out (1) that is not all that one of its classes has; of
    zeros if there is none."""
    side = np.zeros(len(units), np.int64)
    for unit in np.argsort(np.bincount(units), kind="stable").tolist():
        side = (units == unit).astype(np.int64)
        _keep_classes(side, units, table, schema)
        if side.any():
            break
    return side


def _complete(table: Table, column: str, what: str) -> list[Any]:
    """The cells of a group or time column; none may be missing."""
    cells = [_key(cell) for cell in table.cells(column)]
    missing = sum(cell is None for cell in cells)
    if missing:
        raise UserError(
            f"The {what} column '{column}' of {table.source} has {missing:,} missing cells",
            expected="a value in every row",
            do=f"fill them, or drop these rows, or split without a {what}",
        )
    return cells


def _moments(table: Table, schema: Schema, column: str | None) -> Rows:
    assert column is not None
    cells = _complete(table, column, "time")
    try:
        data = table.data.column(column)
        found = find(data, declared=True) if is_text(data.type) else None
        how = schema.reads.get(column) or (found.details().get("reads") if found else None)
        if how and is_text(data.type):
            # `typed` leaves a column that no model reads as it is.
            reading = Reading.from_json(how)
            cells = [reading.value(cell) for cell in cells]
            if None in cells:
                raise ValueError("says that nothing is known")
            return np.array([scalar(cell) for cell in cells])
        return np.array([values.number(cell) for cell in cells])
    except ValueError as error:
        raise UserError(
            f"The time column '{column}' of {table.source} holds a cell that {error}",
            expected="numbers, or dates such as 2024-01-31",
        ) from error


def _latest(moments: Rows, valid: float, table: Table) -> tuple[Rows, Rows]:
    """The cut between two moments that comes nearest to the share asked for."""
    distinct, counts = np.unique(moments, return_counts=True)
    if len(distinct) < 2:
        raise UserError(f"All rows of {table.source} have the same time", expected="at least two")
    later = 1 - np.cumsum(counts)[:-1] / len(moments)
    cut = distinct[1 + int(np.argmin(np.abs(later - valid)))]
    return np.flatnonzero(moments < cut), np.flatnonzero(moments >= cut)


def _periods(moments: Rows, k: int, table: Table) -> list[tuple[Rows, Rows]]:
    distinct, inverse, counts = np.unique(moments, return_inverse=True, return_counts=True)
    # Each moment belongs to the period that its middle row falls into.
    middle = (np.cumsum(counts) - counts / 2) / len(moments)
    periods, period = np.unique((middle * (k + 1)).astype(int), return_inverse=True)
    if len(periods) < k + 1:
        raise UserError(
            f"{table.source} has too few different times for {k} folds",
            expected=f"{k + 1} periods of about as many rows",
            got=f"{len(distinct)} different times",
            do="ask for fewer folds",
        )
    of_row = period[inverse]
    return [(np.flatnonzero(of_row < i), np.flatnonzero(of_row == i)) for i in range(1, k + 1)]
