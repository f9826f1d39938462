"""Along: a task whose target follows the tokens of one modality in time."""

from __future__ import annotations

from abc import abstractmethod

from polymodal.contract.task import Array
from polymodal.contract.writing import Writing


class Along(Writing):
    """A task that writes down what one modality says, from its beginning to its end.

    Attributes:
        modality: which one; known after `introduce`, or with `state`.
    """

    modality: str

    @abstractmethod
    def room(self, target: Array) -> int:
        """Tokens of the modality at least that a row with this target needs."""
