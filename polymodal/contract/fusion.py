"""Fusion: tokens of all modalities to one vector a row."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor, nn

from polymodal.contract.batch import Fused, Tokens


class Fusion(nn.Module, ABC):
    """Named tokens to one vector a row.

    Constructor: `(names: Sequence[str], width: int, *, options...)`. All tokens arrive with the
    same width. An absent modality has an all-False mask; rows with nothing present must still give
    finite numbers. A fusion with one modality must work.

    Attributes:
        decides: True for a fusion of decisions: it fills `Fused.views` and `Fused.weights`, every
            modality gets heads of its own and is trained by its own loss.
        raw: True if it has layers enough of its own to read each kind's shallow encoder
            (`Kind.raw`) where the recipe names none.
    """

    decides: ClassVar[bool] = False
    raw: ClassVar[bool] = False

    @property
    def alpha(self) -> Tensor | None:
        """Log-weights `(modalities,)` for validation rows to choose after training, or None.

        A property, because a class attribute would hide a module's buffer or parameter.
        """
        return None

    @abstractmethod
    def forward(self, tokens: dict[str, Tokens]) -> Fused:
        """Tokens by modality, in the order of `names` -> Fused."""
