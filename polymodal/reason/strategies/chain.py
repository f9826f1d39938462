"""Reasons first, then the answer."""

from __future__ import annotations

from collections.abc import Sequence

from polymodal.reason.model import Asked, Model, Thought
from polymodal.reason.strategy import Strategy


class Chain(Strategy):
    """The likeliest reasons and the answer that follows, written in one go.

    Paper: "Chain-of-Thought Prompting Elicits Reasoning in Large Language Models" (Wei et al. 2022,
    arXiv 2201.11903).
    """

    def answers(self, model: Model, asked: Sequence[Asked]) -> list[Thought]:
        return [own[0] for own in model.chains(asked)]
