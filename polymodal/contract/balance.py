"""Balance: how the modalities of one model are kept from starving each other."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor, nn


@dataclass(frozen=True)
class Alone:
    """What one modality reaches by itself on a batch, over the rows that have it.

    Attributes:
        loss: `()`, with a gradient.
        ratio: its mean exp(-loss of a row) over the mean of the other modalities': above 1 it is
            ahead of them. NaN if the batch has no other.
    """

    loss: Tensor
    ratio: float


class Balance(ABC):
    """How the modalities of one model are kept from starving each other: losses to one update.

    Constructor: `(*, options...)`. It is asked only where there are several modalities. What is
    random comes from torch's own generator, which checkpoints hold.
    """

    @abstractmethod
    def backward(
        self,
        joint: Tensor,
        alone: Mapping[str, Alone],
        encoders: Mapping[str, Sequence[nn.Parameter]],
        rest: Sequence[nn.Parameter],
    ) -> dict[str, float]:
        """Fill the gradients of all parameters, which have none, from one batch.

        Args:
            joint: the loss of all modalities together, `()`.
            alone: the modalities that some row of the batch has.
            encoders: every modality -> what is trained of its encoder.
            rest: what is trained of fusion and heads.

        Returns:
            Numbers to record, each with a name; NaN for one that this batch does not have.
        """
