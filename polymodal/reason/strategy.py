"""Strategy: a way from questions to answers, whatever the model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from polymodal.reason.model import Asked, Model, Thought


class Strategy(ABC):
    """A way to answer.

    Constructor: `(*, options)`.
    """

    @abstractmethod
    def answers(self, model: Model, asked: Sequence[Asked]) -> list[Thought]:
        """One answer for each question."""
