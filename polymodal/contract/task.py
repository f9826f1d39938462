"""Task: what is predicted, what its loss is, and how answers are read and measured."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from torch import Tensor

from polymodal.contract.metric import Metric


class Task(ABC):
    """One target column: how its cells become tensors, what the loss is, how outputs are read.

    Constructor: `(column: str, *, options...)`. It never sees a model. A missing target cell is
    encoded so that `loss` skips it.

    Attributes:
        level: "row" (one output a row) or "token" (one a word of the tagged text column).
        kind: the column kind it reads ("category", "number", "set" or "tags").
        missing: what stands in an encoded target that is not known (or is padding).
        size: how many outputs a head must have; known after `fit`.
        primary: the metric to show first.
    """

    level: ClassVar[str] = "row"
    kind: ClassVar[str]
    missing: ClassVar[float]
    size: int
    primary: str
    column: str

    @abstractmethod
    def fit(self, cells: Sequence[Any]) -> None:
        """Learn classes, means and class weights from the training rows' cells (None = missing)."""

    @property
    @abstractmethod
    def state(self) -> dict[str, Any]:
        """What `fit` learned, JSON-able."""

    @state.setter
    @abstractmethod
    def state(self, state: dict[str, Any]) -> None: ...

    @abstractmethod
    def encode(self, cells: Sequence[Any]) -> list[np.ndarray[Any, Any]]:
        """Cells to arrays: all of one shape for "row", `(words,)` each for "token"."""

    def is_unseen(self, cell: Any) -> bool:
        """Whether `encode` refuses a cell for a label that no training row had."""
        return False

    def bias(self) -> Tensor | None:
        """Logits of the training prior `(size,)` for a head to start from, or None."""
        return None

    @abstractmethod
    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """Mean loss over the targets that are not missing; 0 (with gradient) if none is.

        Args:
            logits: `(batch, size)` or `(batch, length, size)`.
            target: `(batch, ...)`, or `(batch, length)` padded with the missing value.
        """

    @abstractmethod
    def scores(self, logits: Tensor) -> Tensor:
        """Logits to what is stored, averaged over members and measured: probabilities or values."""

    @abstractmethod
    def decode(self, scores: Sequence[np.ndarray[Any, Any]]) -> dict[str, list[Any]]:
        """One table's scores, an array a row, to columns of the predictions file.

        The prediction itself is under the target's own name; probabilities are `name=class`.
        """

    @abstractmethod
    def metrics(
        self, scores: Sequence[np.ndarray[Any, Any]], targets: Sequence[np.ndarray[Any, Any]]
    ) -> dict[str, Metric]:
        """Metric name -> Metric, from rows' `scores` and `encode`d targets, missing left out."""

    @abstractmethod
    def criterion(
        self, scores: Sequence[np.ndarray[Any, Any]], targets: Sequence[np.ndarray[Any, Any]]
    ) -> float:
        """What validation minimises when it selects weights, mixtures and members."""
