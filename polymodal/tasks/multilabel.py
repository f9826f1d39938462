"""Any number of labels a row."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from polymodal.base.spelling import is_missing
from polymodal.contract.metric import Metric
from polymodal.contract.task import Task
from polymodal.metrics import metrics
from polymodal.table import values
from polymodal.tasks import _labels


class Multilabel(Task):
    """Binary cross-entropy of each label; scores are independent probabilities.

    A cell is a list of labels, a JSON list, or a text of labels with a separator between them. An
    empty list means none of the labels; a missing cell or blank text means unknown.
    Neighbours: `classify` for exactly one label a row.

    Args:
        column: the target's name.
        separator: between the labels of a text, or None to take the one of ; | , that most training
            rows contain.
    """

    kind = "set"
    missing = -1
    primary = "micro_f1"

    def __init__(self, column: str, *, separator: str | None = None) -> None:
        self.column, self.separator = column, separator

    def fit(self, cells: Sequence[Any]) -> None:
        known = [c for c in cells if not is_missing(c)]
        self._between = self.separator or values.separator(known)
        sets = [self._names(cell) for cell in known]
        classes, counts = _labels.counted(label for labels in sets for label in labels)
        if not any(0 < count < len(sets) for count in counts):
            got = f"{len(sets)} rows, all with the labels {', '.join(classes) or '(none)'}"
            raise _labels.nothing_to_learn(self.column, got)
        self.state = {
            "classes": classes,
            "counts": counts,
            "rows": len(sets),
            "separator": self._between,
        }

    @property
    def state(self) -> dict[str, Any]:
        return {
            "classes": self.classes,
            "counts": self.counts,
            "rows": self.rows,
            "separator": self._between,
        }

    @state.setter
    def state(self, state: dict[str, Any]) -> None:
        self.classes, self.counts = list(state["classes"]), list(state["counts"])
        self.rows, self._between = int(state["rows"]), state["separator"]
        self.size = len(self.classes)
        self._codes = {name: i for i, name in enumerate(self.classes)}

    def encode(self, cells: Sequence[Any]) -> list[np.ndarray[Any, Any]]:
        """Cells -> float32 `(labels,)` of 0 and 1, all -1 where missing.

        Raises:
            UserError: a label that no training row had.
        """
        return [self._encode(cell) for cell in cells]

    def _encode(self, cell: Any) -> np.ndarray[Any, Any]:
        if is_missing(cell):
            return np.full(self.size, self.missing, np.float32)
        encoded = np.zeros(self.size, np.float32)
        for label in self._names(cell):
            if label not in self._codes:
                raise _labels.unseen(self.column, label, self.classes, "label")
            encoded[self._codes[label]] = 1
        return encoded

    def is_unseen(self, cell: Any) -> bool:
        return not is_missing(cell) and not self._names(cell) <= self._codes.keys()

    def _names(self, cell: Any) -> set[str]:
        """A present cell's labels."""
        parts = values.parts(cell, self._between)
        return {_labels.spelled(p, self.column) for p in parts if not is_missing(p)}

    def bias(self) -> Tensor:
        """Log odds of the training frequencies, half a row added to either side."""
        counts = torch.tensor(self.counts, dtype=torch.float32)
        return ((counts + 0.5) / (self.rows - counts + 0.5)).log()

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """Logits and target `(batch, labels)`."""
        logits = _labels.in_full(logits)
        wanted = target.clamp(min=0).to(logits.dtype)
        each = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
        return _labels.mean_known(each, target >= 0)

    def scores(self, logits: Tensor) -> Tensor:
        return _labels.in_full(logits).sigmoid()

    def decode(self, scores: _labels.Rows) -> dict[str, list[Any]]:
        """The labels of probability one half or more, written as the training cells were."""
        scores = np.asarray(scores)
        chosen = [
            [name for name, yes in zip(self.classes, row, strict=True) if yes]
            for row in scores >= 0.5
        ]
        join = self._between.join if self._between else json.dumps
        shares = {f"{self.column}={c}": scores[:, i].tolist() for i, c in enumerate(self.classes)}
        return {self.column: [join(labels) for labels in chosen], **shares}

    def metrics(
        self, scores: Sequence[np.ndarray[Any, Any]], targets: Sequence[np.ndarray[Any, Any]]
    ) -> dict[str, Metric]:
        return metrics.multilabel(np.asarray(scores), np.asarray(targets))

    def criterion(
        self, scores: Sequence[np.ndarray[Any, Any]], targets: Sequence[np.ndarray[Any, Any]]
    ) -> float:
        """What validation minimises: the mean log loss over rows and labels."""
        p, y = np.asarray(scores), np.asarray(targets)
        own = np.where(y > 0.5, p, 1 - p).clip(np.finfo(p.dtype).eps)
        return _labels.average(-np.log(own), y >= 0)
