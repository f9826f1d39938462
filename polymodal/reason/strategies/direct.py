"""The answer alone."""

from __future__ import annotations

from collections.abc import Sequence

from polymodal.reason.model import Asked, Model, Thought
from polymodal.reason.strategy import Strategy


class Direct(Strategy):
    """The likeliest answer without reasons: what all others are compared with."""

    def answers(self, model: Model, asked: Sequence[Asked]) -> list[Thought]:
        return model.answers(asked)
