"""Balance: how several losses of one model come to one update."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import nan

from torch import Tensor, nn

# What the loss of all modalities together is called, beside each one's own. No column is called so.
JOINT = ""
# What there may be several losses of.
TASKS, MODALITIES = "tasks", "modalities"


@dataclass(frozen=True)
class Loss:
    """One of several losses of a batch.

    Attributes:
        value: `()`, with a gradient.
        ratio: of what one modality reaches by itself: its mean exp(-loss of a row) over the mean of
            the other modalities': above 1 it is ahead of them. NaN if the batch has no other.
    """

    value: Tensor
    ratio: float = nan


@dataclass(frozen=True)
class Part:
    """Parameters that the same losses move.

    Attributes:
        params: what is trained of them.
        losses: names of the losses that may reach them; others have no gradient there.
    """

    params: Sequence[nn.Parameter]
    losses: Sequence[str]


class Balance(nn.Module, ABC):
    """Several losses to one update: of the tasks, or of the modalities that learn together.

    Constructor: `(*, options...)`. It is asked only where there are several. Over tasks, the losses
    are each task's own, and the parts what they share and each one's head. Over modalities, they
    are the joint loss of all (`JOINT`) and what each modality reaches by itself, and the parts each
    encoder, which the joint loss and its own move, and the rest. What is random comes from torch's
    own generator, which checkpoints hold.

    A rule that learns weights has them as parameters, which are trained with the model's, and kept
    by checkpoints; a run has none of them, only what `backward` records.

    Attributes:
        over: TASKS or MODALITIES.
    """

    over: str

    def expect(self, names: Sequence[str]) -> None:
        """Make room for losses by these names; called once, before `backward`.

        Raises:
            UserError: an option names a loss that there is not.
        """

    @abstractmethod
    def backward(self, losses: Mapping[str, Loss], parts: Mapping[str, Part]) -> dict[str, float]:
        """Fill the gradients of all parameters, which have none, from one batch.

        Args:
            losses: those that the batch has, by the names that were expected.
            parts: over modalities by their names, and the rest as JOINT; over tasks likewise, and
                what they share as JOINT.

        Returns:
            Numbers to record, each with a name; NaN for one that this batch does not have.
        """
