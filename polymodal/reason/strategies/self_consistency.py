"""Several drawn chains vote."""

from __future__ import annotations

import math
from collections.abc import Sequence

from polymodal.metrics.answers import normalised
from polymodal.reason.model import Asked, Model, Thought
from polymodal.reason.strategy import Strategy


class SelfConsistency(Strategy):
    """The answer of most of several drawn chains; of equally many, that of the likeliest chain.

    A chain without an answer has no vote. Paper: "Self-Consistency Improves Chain of Thought
    Reasoning in Language Models" (Wang et al. 2022, arXiv 2203.11171).

    Args:
        samples: chains a row.
        temperature: that they are drawn at.
        seed: of what is drawn.
    """

    def __init__(self, *, samples: int = 5, temperature: float = 0.7, seed: int = 0) -> None:
        self.samples, self.temperature, self.seed = samples, temperature, seed

    def answers(self, model: Model, asked: Sequence[Asked]) -> list[Thought]:
        drawn = model.chains(asked, self.samples, self.temperature, self.seed)
        return [voted(own) for own in drawn]


def voted(chains: Sequence[Thought]) -> Thought:
    """The likeliest of the chains whose answer most have; the first where nothing tells."""
    answers = [normalised(one.answer) if one.answer else "" for one in chains]

    def worth(place: int) -> tuple[int, float]:
        votes = answers.count(answers[place]) if answers[place] else 0
        log = chains[place].log
        return votes, -math.inf if math.isnan(log) else log

    return chains[max(range(len(chains)), key=worth)]
