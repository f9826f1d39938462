"""Of several drawn chains, the one that the media support best."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from polymodal.reason.model import Asked, Model, Thought, steps
from polymodal.reason.strategy import Strategy


class Verified(Strategy):
    """Every step of several drawn chains is scored against the row's media by the model itself; the
    chain whose weakest step is supported best answers, of equal ones the likeliest.

    A chain without an answer, or without steps, comes last. Steps are judged one by one as in
    "Let's Verify Step by Step" (Lightman et al. 2023, arXiv 2305.20050), whose verifier is a
    trained one.

    Args:
        samples: chains a row.
        temperature: that they are drawn at.
        seed: of what is drawn.
    """

    def __init__(self, *, samples: int = 5, temperature: float = 0.7, seed: int = 0) -> None:
        self.samples, self.temperature, self.seed = samples, temperature, seed

    def answers(self, model: Model, asked: Sequence[Asked]) -> list[Thought]:
        drawn = model.chains(asked, self.samples, self.temperature, self.seed)
        # Equal chains are scored once.
        ways = [list(dict.fromkeys(one.reason for one in own)) for own in drawn]
        each = [(ask, way) for ask, own in zip(asked, ways, strict=True) for way in own]
        parts = [replace(ask, reason="") for ask, _ in each]
        scores = iter(model.supports(parts, [way for _, way in each]))
        found = []
        for own, known in zip(drawn, ways, strict=True):
            weakest = {way: min(next(scores), default=-math.inf) for way in known}
            found.append(best(own, weakest))
        return found


def best(chains: Sequence[Thought], weakest: Mapping[str, float]) -> Thought:
    """The chain whose weakest step is supported best, of equal ones the likeliest.

    Args:
        weakest: reasons -> how far the weakest of their steps is supported.
    """

    def worth(one: Thought) -> tuple[bool, float, float]:
        known = bool(one.answer and steps(one.reason))
        return known, weakest[one.reason], -math.inf if math.isnan(one.log) else one.log

    return max(chains, key=worth)
