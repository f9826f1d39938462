"""One class a row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from polymodal.base.errors import UserError
from polymodal.base.spelling import is_missing
from polymodal.contract.metric import Metric
from polymodal.contract.task import Task
from polymodal.metrics import metrics
from polymodal.tasks import _labels


class Classify(Task):
    """Cross-entropy over the classes of the training rows; scores are their probabilities.

    Labels are compared in one spelling, `spelling.canonical`: True and "true" are one class, and so
    are 1, "1" and 1.0. Neighbours: `multilabel` for several labels a row, `regress` for amounts.

    Args:
        column: the target's name.
        class_weights: None, or "balanced": each class weighs rows / (classes * its rows), so that
            all count alike however rare (and probabilities are those of a balanced world).
        smoothing: share of every label's probability that is spread over all classes, in [0, 1).
    """

    kind = "category"
    missing = _labels.UNKNOWN
    primary = "accuracy"

    def __init__(
        self, column: str, *, class_weights: str | None = None, smoothing: float = 0.0
    ) -> None:
        if class_weights not in (None, "balanced"):
            raise UserError(
                f"Target '{column}' has the unknown class_weights '{class_weights}'",
                expected="class_weights: balanced, or none",
            )
        if not 0 <= smoothing < 1:
            raise UserError(
                f"Target '{column}' has a smoothing of {smoothing}",
                expected="a share from 0 to below 1, such as 0.1",
            )
        self.column = column
        self.class_weights, self.smoothing = class_weights, smoothing

    def fit(self, cells: Sequence[Any]) -> None:
        labels = [_labels.spelled(c, self.column) for c in cells if not is_missing(c)]
        classes, counts = _labels.counted(labels)
        if len(classes) < 2:
            got = f"'{classes[0]}' {len(labels)} times" if labels else "no value at all"
            raise _labels.nothing_to_learn(self.column, got)
        self.state = {"classes": classes, "counts": counts}

    @property
    def state(self) -> dict[str, Any]:
        return {"classes": self.classes, "counts": self.counts}

    @state.setter
    def state(self, state: dict[str, Any]) -> None:
        self.classes, self.counts = list(state["classes"]), list(state["counts"])
        self.size = len(self.classes)
        self._codes = {name: i for i, name in enumerate(self.classes)}

    def encode(self, cells: Sequence[Any]) -> list[np.ndarray[Any, Any]]:
        """Cells -> int64 class codes `()`.

        Raises:
            UserError: a class that no training row had.
        """
        return [np.array(self._code(cell), np.int64) for cell in cells]

    def _code(self, cell: Any) -> int:
        if is_missing(cell):
            return _labels.UNKNOWN
        label = _labels.spelled(cell, self.column)
        if label not in self._codes:
            raise _labels.unseen(self.column, label, self.classes, "class")
        return self._codes[label]

    def is_unseen(self, cell: Any) -> bool:
        return not is_missing(cell) and _labels.spelled(cell, self.column) not in self._codes

    def bias(self) -> Tensor | None:
        """Log of the training frequencies; None if balanced weights make all classes alike."""
        if self.class_weights == "balanced":
            return None
        return torch.tensor(self.counts).double().log().log_softmax(0).float()

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """Logits `(batch, classes)`, target `(batch,)`."""
        return _labels.cross_entropy(logits, target, self._weights(), self.smoothing)

    def _weights(self) -> Tensor | None:
        if self.class_weights is None:
            return None
        counts = torch.tensor(self.counts, dtype=torch.float32)
        return counts.sum() / (self.size * counts)

    def scores(self, logits: Tensor) -> Tensor:
        return _labels.in_full(logits).softmax(-1)

    def decode(self, scores: _labels.Rows) -> dict[str, list[Any]]:
        scores = np.asarray(scores)
        best = [self.classes[i] for i in scores.argmax(1)]
        shares = {f"{self.column}={c}": scores[:, i].tolist() for i, c in enumerate(self.classes)}
        return {self.column: best, **shares}

    def metrics(
        self, scores: Sequence[np.ndarray[Any, Any]], targets: Sequence[np.ndarray[Any, Any]]
    ) -> dict[str, Metric]:
        return metrics.classification(np.asarray(scores), np.asarray(targets))

    def criterion(
        self, scores: Sequence[np.ndarray[Any, Any]], targets: Sequence[np.ndarray[Any, Any]]
    ) -> float:
        """What validation minimises: the log loss of the rows' scores."""
        p, y = np.asarray(scores), np.asarray(targets)
        own = np.take_along_axis(p, y.clip(min=0)[:, None], 1)[:, 0]
        return _labels.average(-np.log(own.clip(np.finfo(p.dtype).eps)), y >= 0)
