"""Block: one modality's prepared field as the features of a linear model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Protocol

import numpy as np
from torch import Tensor, nn

from polymodal.contract.batch import Field

Array = np.ndarray[Any, Any]


class Cellwise(Protocol):
    """A modality's prepared cells, of which some rows can be had as a field."""

    def gather(self, rows: Array) -> Field: ...

    def __len__(self) -> int: ...


class Block(nn.Module, ABC):
    """Features of about unit length a row, so that one strength of regularisation suits all kinds.

    Attributes:
        width: number of features; known after `learn`.
    """

    @property
    @abstractmethod
    def width(self) -> int: ...

    @abstractmethod
    def learn(self, cells: Cellwise, rows: Array) -> None:
        """Set the buffers from training rows."""

    @abstractmethod
    def forward(self, field: Field, weight: Tensor) -> Tensor:
        """Features times `weight (width, outputs)`: `(batch, outputs)`."""

    @abstractmethod
    def matrix(self, cells: Cellwise, rows: Array) -> Any:
        """The rows' features `(rows, width)` float64, CSR or dense; zeros where absent."""
