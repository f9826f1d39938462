"""Row numbers to batches: prepared inputs gathered, targets gathered too."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from polymodal.contract.batch import Batch
from polymodal.prepared.prepare import Prepared

# Rows are sorted by length within this many batches: padding falls, order stays random enough.
BUCKET = 24
# Positions, padded ones too, that a batch of more than one row may have where nothing is learned.
POSITIONS = 2**20


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
        """All rows for evaluation, longest rows last: positions in `rows`, and their Batch.

        Batches have `size` rows, fewer where they are long.
        """
        cost = self.cost(rows)
        order = np.arange(len(rows)) if cost is None else np.argsort(cost, kind="stable")
        lengths = [prepared.lengths[rows[order]] for prepared in self.inputs.values()]
        start = 0
        while start < len(rows):
            end = min(start + size, len(rows))
            while end - start > 1 and _padded(lengths, start, end) > POSITIONS:
                end = (start + end) // 2
            positions = order[start:end]
            yield positions, self(rows[positions])
            start = end


def _padded(lengths: Sequence[np.ndarray[Any, Any]], start: int, end: int) -> int:
    """Positions of the longest modality of some rows in one batch."""
    return (end - start) * max((int(own[start:end].max()) for own in lengths), default=0)


def _cut(rows: np.ndarray[Any, Any], size: int) -> list[np.ndarray[Any, Any]]:
    batches = [rows[i : i + size] for i in range(0, len(rows), size)]
    if len(batches) > 1 and len(batches[-1]) == 1:
        last = batches.pop()
        batches[-1] = np.concatenate([batches[-1], last])
    return batches
