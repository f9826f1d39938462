"""Vectors to codes, numbers of a finite list, and back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

from torch import Tensor, nn


class Quantized(NamedTuple):
    """Vectors as their codes have them.

    Attributes:
        vectors: `(..., size)`: gradients go through to what was quantised.
        codes: `(...)` int64.
        loss: what learning them costs beside the reconstruction, a scalar; None: nothing.
    """

    vectors: Tensor
    codes: Tensor
    loss: Tensor | None = None


class Quantizer(nn.Module, ABC):
    """A list of codes, and the vector of each.

    Constructor: `(*, options...)`.

    Attributes:
        size: numbers of a vector.
        count: codes.
    """

    size: int
    count: int

    @abstractmethod
    def forward(self, values: Tensor) -> Quantized:
        """Vectors `(..., size)` of any numbers to the codes that stand for them."""

    @abstractmethod
    def vectors(self, codes: Tensor) -> Tensor:
        """Codes `(...)` to their vectors `(..., size)`."""
