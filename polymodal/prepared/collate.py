"""Row numbers to batches: prepared inputs gathered, targets gathered too."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch

from polymodal.contract.batch import Batch
from polymodal.prepared.prepare import Prepared

# Rows are sorted by length within this many batches: padding falls, order stays random enough.
BUCKET = 24


class Collator:
    """Gathers rows into a Batch.

    Args:
        inputs: modality -> prepared cells.
        targets: task -> encoded targets; empty at prediction time.
    """

    def __init__(self, inputs: Mapping[str, Prepared], targets: Mapping[str, Prepared]) -> None:
        self.inputs, self.targets = inputs, targets

    def __call__(self, rows: np.ndarray[Any, Any]) -> Batch:
        inputs = {name: prepared.gather(rows) for name, prepared in self.inputs.items()}
        targets = {name: values.gather(rows) for name, values in self.targets.items()}
        return Batch(inputs, targets, torch.from_numpy(rows))

    def cost(self, rows: np.ndarray[Any, Any]) -> np.ndarray[Any, Any] | None:
        """What each of some rows costs: its ragged modalities' lengths, relative to the longest.

        Other rows have no say in it, or those held out would shuffle the training. None where all
        cost the same.
        """
        lengths = [prepared.lengths[rows] for prepared in self.inputs.values()]
        varied = [own for own in lengths if len(own) and own.max() > 1 and own.min() != own.max()]
        return np.sum([own / own.max() for own in varied], 0) if varied else None

    def order(
        self, rows: np.ndarray[Any, Any], size: int, rng: np.random.Generator
    ) -> list[np.ndarray[Any, Any]]:
        """One epoch's batches: shuffled, rows of like length together.

        The last rows make a smaller batch, unless a single row would be left over: that joins the
        batch before it, since some layers cannot learn from one row.
        """
        rows = rng.permutation(rows)
        cost = self.cost(rows)
        if cost is None:
            return _cut(rows, size)
        batches: list[np.ndarray[Any, Any]] = []
        for start in range(0, len(rows), size * BUCKET):
            own = slice(start, start + size * BUCKET)
            batches += _cut(rows[own][np.argsort(cost[own], kind="stable")], size)
        return [batches[i] for i in rng.permutation(len(batches))]

    def sequential(
        self, rows: np.ndarray[Any, Any], size: int
    ) -> Iterator[tuple[np.ndarray[Any, Any], Batch]]:
        """All rows for evaluation, longest rows last: positions in `rows`, and their Batch."""
        cost = self.cost(rows)
        order = np.arange(len(rows)) if cost is None else np.argsort(cost, kind="stable")
        for start in range(0, len(rows), size):
            positions = order[start : start + size]
            yield positions, self(rows[positions])


def _cut(rows: np.ndarray[Any, Any], size: int) -> list[np.ndarray[Any, Any]]:
    batches = [rows[i : i + size] for i in range(0, len(rows), size)]
    if len(batches) > 1 and len(batches[-1]) == 1:
        last = batches.pop()
        batches[-1] = np.concatenate([batches[-1], last])
    return batches
