"""Rows that are answered, held against training rows: what a team watches before it fits again."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from polymodal.contract import kind
from polymodal.evaluation.drift import numbers, thinned
from polymodal.run.run import Run
from polymodal.table.ledger import Ledger
from polymodal.table.read import Table

Array = np.ndarray[Any, Any]
# Training rows whose vectors tell where all are, rows of a batch that are held against them, and
# seconds between such batches: a row's vector costs as much as its answer.
VECTORS, ROWS, PAUSE = 400, 8, 1.0


class Seen:
    """What training rows were like.

    Args:
        source: the training table, or rows like it.

    Attributes:
        spans: of columns of numbers -> the least and the largest.
    """

    def __init__(self, run: Run, source: Any) -> None:
        self.run = run
        table = thinned(run.pipeline.table(source, encoding=run.recipe.data.encoding))
        self.spans: dict[str, tuple[float, float]] = {}
        for column in run.schema.inputs:
            if kind.of(column.kind).is_ordered(column.kind) and column.name in table.names:
                found = numbers(table.cells(column.name))
                if len(found):
                    self.spans[column.name] = float(found.min()), float(found.max())
        self._embeds = any(member.module.embeds for member in run.members.values())
        self._next = 0.0
        if self._embeds:
            rows = np.random.default_rng(0).permutation(len(table))[:VECTORS]
            vectors = self._vectors(table.take(np.sort(rows)))
            spread = vectors.std(0)
            self._mean, self._spread = vectors.mean(0), np.where(spread > 0, spread, 1)
            self._usual = max(float(self._far(vectors).mean()), 1e-12)

    def outside(self, row: Mapping[str, Any]) -> list[str]:
        """Columns of a row whose number is smaller or larger than all of training rows."""
        found = []
        for name, (low, high) in self.spans.items():
            here = numbers([] if row.get(name) is None else [row[name]])
            if len(here) and (here.min() < low or here.max() > high):
                found.append(name)
        return found

    def distances(self, table: Table) -> list[float]:
        """How far vectors of some rows are from the mean of training rows' (1: as those are).

        Empty where that was told a short time ago, or the run has no vectors.
        """
        if not self._embeds or time.monotonic() < self._next:
            return []
        self._next = time.monotonic() + PAUSE
        far = self._far(self._vectors(table.slice(0, min(len(table), ROWS))))
        return [float(one) for one in far / self._usual]

    def _far(self, vectors: Array) -> Array:
        return np.sqrt((((vectors - self._mean) / self._spread) ** 2).sum(1))

    def _vectors(self, table: Table) -> Array:
        model = self.run.pipeline
        name = model.embedder()
        prepared = model.encode(table, Ledger(), [name], max_bad_rows=len(table))
        return model.vectors(prepared, np.arange(len(table)), name)


def seen(run: Run, reference: Any) -> Seen | None:
    """What rows are held against: a table, or that of the fit where it still is; else nothing."""
    source = run.origin.get("source") if reference is None else reference
    if source is None or (reference is None and not os.path.exists(str(source))):
        return None
    return Seen(run, source)
