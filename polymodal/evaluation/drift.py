"""Whether new rows are like the rows that a run was trained on, column by column."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from polymodal.base.devices import device_of
from polymodal.base.errors import UserError
from polymodal.base.files import write_json
from polymodal.base.spelling import is_missing
from polymodal.contract import kind
from polymodal.metrics.statistics import holm
from polymodal.prepared.collate import Collator
from polymodal.report.words import grid
from polymodal.run.run import Run
from polymodal.table import values
from polymodal.table.ledger import Ledger
from polymodal.table.read import Table
from polymodal.table.schema import Column

Array = np.ndarray[Any, Any]
# Rows of either side that are looked at, and of those whose media are compared in pairs.
ROWS, PAIRED = 5000, 400
# A test that must stand beside so many others needs so many permutations at least.
LEAST, MOST = 999, 19_999
# Fewer expected rows of a category make no test; such categories are counted together.
EXPECTED = 5


@dataclass(frozen=True)
class Shift:
    """One column's new rows against its training rows.

    Attributes:
        column, kind: the column's.
        missing: share of cells missing, then and now.
        strange: share of present cells that no training row prepared for: outside of the training
            rows' range, or categories that none of them had. None of media and texts.
        distance: of what is there, 0 where nothing differs: Kolmogorov and Smirnov's of numbers,
            Cramér's V of categories, the energy distance of what the model makes of others.
        p_missing, p_values: of the tests that both are as before, corrected for their number
            (Holm); None where nothing can be tested.
        drifted: whether one of them is below the level.
    """

    column: str
    kind: str
    missing: tuple[float, float]
    strange: float | None
    distance: float | None
    p_missing: float | None
    p_values: float | None
    drifted: bool = False


@dataclass(frozen=True)
class Drift:
    """All input columns, those that drifted first.

    Attributes:
        rows: training rows, and new ones.
        level: at which tests reject.
        columns: what became of each.
    """

    rows: tuple[int, int]
    level: float
    columns: list[Shift] = field(default_factory=list)

    @property
    def drifted(self) -> list[str]:
        return [one.column for one in self.columns if one.drifted]

    def save(self, path: Path) -> None:
        write_json(path, asdict(self) | {"drifted": self.drifted})

    def text(self) -> str:
        """For a terminal."""
        lines = [["", "kind", "missing", "then", "p", "strange", "distance", "p"]]
        for one in self.columns:
            lines.append(
                [
                    f"{'* ' if one.drifted else '  '}{one.column}",
                    one.kind,
                    f"{one.missing[1]:.1%}",
                    f"{one.missing[0]:.1%}",
                    _p(one.p_missing),
                    "" if one.strange is None else f"{one.strange:.1%}",
                    "" if one.distance is None else f"{one.distance:.3f}",
                    _p(one.p_values),
                ]
            )
        what = f"{', '.join(self.drifted)} drifted (*)" if self.drifted else "No column drifted"
        return "\n".join(
            [
                f"{self.rows[1]:,} rows against {self.rows[0]:,} training rows; p corrected for "
                f"the number of tests (Holm).",
                *grid(lines),
                f"{what} at the level {self.level:g}.",
            ]
        )


def drift(
    run: Run,
    data: Any,
    *,
    reference: Any = None,
    level: float = 0.05,
    max_bad_rows: int = 0,
) -> Drift:
    """Test each input column of new rows against the training rows.

    Missing cells are compared by Fisher's exact test, numbers and dates by Kolmogorov and
    Smirnov's, names by a chi-squared test, and all else by a permutation test of the energy
    distance (Székely and Rizzo 2013) between what the run's model makes of the cells.

    Args:
        data: new rows.
        reference: rows to hold them against; by default the training table.
        level: a column drifted if a corrected p-value is below it.
        max_bad_rows: cells of a modality that may be unreadable, in either table.

    Raises:
        UserError: the training table is gone, or a table does not suit the run.
    """
    if not 0 < level < 1:
        raise UserError(f"{level:g} is no level", expected="a number between 0 and 1")
    source = run.origin.get("source") if reference is None else reference
    if source is None or (reference is None and not os.path.exists(str(source))):
        raise UserError(
            "There are no training rows to hold new rows against",
            expected=f"the table that the run was fitted on ({source})",
            do="`reference TABLE`: that table, wherever it is now, or other rows",
        )
    model = run.pipeline
    before, after = (
        thinned(model.table(one, encoding=run.recipe.data.encoding)) for one in (source, data)
    )
    found = []
    grouped = model.schema.modalities()
    tests = sum(len(columns) for columns in grouped.values()) * 2
    for name, columns in grouped.items():
        joint = kind.of(columns[0].kind).joint
        for column in columns:
            cells = [table.cells(column.name) for table in (before, after)]
            if joint:
                found.append(_by_cells(column, *cells))
            else:
                vectors = [_vectors(run, table, name, max_bad_rows) for table in (before, after)]
                found.append(_by_vectors(column, cells, vectors, level / tests))
    return _judged(found, (len(before), len(after)), level)


def _judged(found: Sequence[Shift], rows: tuple[int, int], level: float) -> Drift:
    """With p-values corrected for their number."""
    known = [p for one in found for p in (one.p_missing, one.p_values) if p is not None]
    corrected = iter(holm(known))
    judged = []
    for one in found:
        pair = [None if p is None else next(corrected) for p in (one.p_missing, one.p_values)]
        drifted = any(p is not None and p < level for p in pair)
        about = asdict(one) | {"p_missing": pair[0], "p_values": pair[1], "drifted": drifted}
        judged.append(Shift(**about))
    judged.sort(key=lambda one: not one.drifted)
    return Drift(rows, level, judged)


def thinned(table: Table) -> Table:
    """ROWS rows at most, drawn alike whenever they are."""
    if len(table) <= ROWS:
        return table
    return table.take(np.sort(np.random.default_rng(0).permutation(len(table))[:ROWS]))


def _missing(before: Sequence[Any], after: Sequence[Any]) -> tuple[tuple[float, float], float]:
    # A second's work to load, which whoever serves a run need not wait for.
    from scipy.stats import fisher_exact

    gone = [sum(map(is_missing, cells)) for cells in (before, after)]
    counts = [[gone[0], len(before) - gone[0]], [gone[1], len(after) - gone[1]]]
    found = fisher_exact(counts)
    return (gone[0] / len(before), gone[1] / len(after)), float(found.pvalue)


def _by_cells(column: Column, before: Sequence[Any], after: Sequence[Any]) -> Shift:
    """A column whose cells are numbers or names."""
    from scipy.stats import ks_2samp

    room = kind.of(column.kind)
    missing, p_missing = _missing(before, after)
    if room.is_ordered(column.kind):
        then, now = (numbers(cells) for cells in (before, after))
        if not len(then) or not len(now):
            return Shift(column.name, column.kind, missing, None, None, p_missing, None)
        test = ks_2samp(then, now)
        outside = float(np.mean((now < then.min()) | (now > then.max())))
        return Shift(
            *(column.name, column.kind, missing, outside),
            *(float(test.statistic), p_missing, float(test.pvalue)),
        )
    named = [[room.key(column.kind, cell) for cell in cells] for cells in (before, after)]
    counts = [Counter(key for key in keys if key is not None) for keys in named]
    if not counts[0] or not counts[1]:
        return Shift(column.name, column.kind, missing, None, None, p_missing, None)
    unseen = sum(n for key, n in counts[1].items() if key not in counts[0])
    distance, p = _names(*counts)
    strange = unseen / counts[1].total()
    return Shift(column.name, column.kind, missing, strange, distance, p_missing, p)


def numbers(cells: Sequence[Any]) -> Array:
    flat = (one for cell in cells for one in (cell if isinstance(cell, list) else [cell]))
    found = np.array([values.number(one) for one in flat], float)
    return found[~np.isnan(found)]


def _names(then: Counter[Any], now: Counter[Any]) -> tuple[float, float | None]:
    """Cramér's V and the p-value of a chi-squared test; rare names are counted as one."""
    from scipy.stats import chi2_contingency

    total = then.total() + now.total()
    smaller = min(then.total(), now.total()) / total
    table: dict[Any, list[int]] = {}
    for key in {**then, **now}:
        rare = (then[key] + now[key]) * smaller < EXPECTED
        place = table.setdefault(("rare",) if rare else ("name", key), [0, 0])
        place[0] += then[key]
        place[1] += now[key]
    counts = np.array(list(table.values())).T
    if counts.shape[1] < 2:
        return 0.0, None
    found = chi2_contingency(counts, correction=False)
    return float(np.sqrt(found.statistic / total)), float(found.pvalue)


def _by_vectors(
    column: Column, cells: Sequence[Sequence[Any]], vectors: Sequence[Array], needed: float
) -> Shift:
    """A column of media or texts."""
    missing, p_missing = _missing(*cells)
    then, now = vectors
    if len(then) < 2 or len(now) < 2:
        return Shift(column.name, column.kind, missing, None, None, p_missing, None)
    distance, p = energy(then, now, needed)
    return Shift(column.name, column.kind, missing, None, distance, p_missing, p)


def _vectors(run: Run, table: Table, name: str, max_bad_rows: int) -> Array:
    """What the strongest model that reads a modality makes of its present cells `(n, width)`; none
    where no model reads it."""
    model, shares = run.pipeline, run.pipeline.shares()
    readers = [m for m, own in model.members.items() if name in own.forms]
    if not readers:
        return np.zeros((0, 0), np.float32)
    member = max(readers, key=lambda m: (model.members[m].module.embeds, shares.get(m, 0.0)))
    some = np.sort(np.random.default_rng(1).permutation(len(table))[:PAIRED])
    part = table.take(some)
    prepared = model.encode(part, Ledger(), [member], max_bad_rows=max_bad_rows)
    module = model.members[member].module
    found = []
    with torch.inference_mode():
        collator = Collator(model.inputs(member, prepared), {})
        for _, batch in collator.sequential(np.arange(len(part)), 64):
            tokens = module.encode(batch.to(device_of(module)).inputs)[name]
            found.append(tokens.mean()[tokens.present()].float().cpu().numpy())
    return np.concatenate(found)


def energy(then: Array, now: Array, needed: float) -> tuple[float, float]:
    """The energy distance of two samples of vectors, and its p-value by permutations.

    Numbers are brought to one scale first; the distance is a share of the mean distance between
    both samples, from 0 to 1.

    Args:
        needed: the smallest p-value that must be told from larger ones.
    """
    both = np.concatenate([then, now]).astype(np.float64)
    spread = both.std(0)
    both = (both / np.where(spread > 0, spread, 1)).astype(np.float32)
    squares = (both**2).sum(1)
    apart = np.sqrt(np.maximum(squares[:, None] + squares - 2 * both @ both.T, 0))
    np.fill_diagonal(apart, 0)
    count, first = len(both), len(then)
    permutations = int(np.clip(4 / needed, LEAST, MOST))
    rng = np.random.default_rng(0)
    sides = np.zeros((permutations + 1, count), np.float32)
    sides[0, :first] = 1
    for row in sides[1:]:
        row[rng.permutation(count)[:first]] = 1
    within = np.einsum("pn,pn->p", sides @ apart, sides) / first**2
    across = np.einsum("pn,pn->p", sides @ apart, 1 - sides) / (first * (count - first))
    others = np.einsum("pn,pn->p", (1 - sides) @ apart, 1 - sides) / (count - first) ** 2
    found = 2 * across - within - others
    as_far = int((found[1:] >= found[0] - 1e-7).sum())
    distance = float(found[0] / max(2 * across[0], 1e-12))
    return max(distance, 0.0), (1 + as_far) / (1 + permutations)


def _p(value: float | None) -> str:
    return "" if value is None else f"{value:.2g}"
