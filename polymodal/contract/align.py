"""Align: an encoder's tokens, of its own width, to tokens of the model's."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import ClassVar

from torch import nn

from polymodal.contract.batch import Tokens


class Align(nn.Module, ABC):
    """What stands between one encoder and the fusion.

    Constructor: `(size: int, width: int, *, options...)`: the widths of the tokens that come in and
    go out. Rows are not mixed, positions keep their number and order, and what stands at masked
    ones changes no real one.

    Attributes:
        learns: True if `start` learns from training rows.
    """

    learns: ClassVar[bool] = False

    @classmethod
    def start(cls, aligns: Mapping[str, Align], batches: Iterable[Mapping[str, Tokens]]) -> None:
        """Set weights from training rows, before the first step.

        Args:
            aligns: modality -> its alignment; all of a model's of this class.
            batches: their encoders' tokens, batch by batch, as often as one asks.

        Raises:
            UserError: the rows do not suffice.
        """

    @abstractmethod
    def forward(self, tokens: Tokens) -> Tokens:
        """`(batch, length, size)` -> `(batch, length, width)`, of the same mask."""
