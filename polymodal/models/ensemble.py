"""Members combined as validation says: answers merged by weights that are chosen greedily."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np

from polymodal.contract.answers import Answers, joined

ROUNDS = 25
# To count, a round must lower the loss by this share of it: less is the validation rows' luck.
GAIN = 1e-3


def greedy(
    answers: Mapping[str, Answers],
    loss: Callable[[Answers], float],
    averaged: bool = True,
    allowed: Callable[[Collection[str]], bool] = lambda names: True,
) -> dict[str, float]:
    """Greedy selection with replacement (Caruana et al. 2004).

    Starts from the best member and adds, round by round, the one whose addition leaves the mean
    with the lowest loss. Rounds go on where none lowers it: the best member added again makes
    room for a small share of another. What counts is the best round, whose loss is never above
    the best member's. A member whose answers are no numbers is never taken in.

    Args:
        answers: member -> its answers to the validation rows.
        averaged: whether the mean of answers is an answer; else the best member is taken alone.
        allowed: whether some members may be taken together; any one may.

    Returns:
        Member -> share, those above zero only; shares sum to 1.
    """
    if not averaged:
        alone = {name: loss(own) for name, own in answers.items() if allowed([name])}
        return {min(alone, key=lambda n: (math.isnan(alone[n]), alone[n], n)): 1.0}
    stacked = {name: joined(values) for name, values in answers.items()}
    total: Any = 0
    counts: Counter[str] = Counter()
    chosen: dict[str, float] = {}
    reached = math.inf
    for size in range(1, ROUNDS + 1):
        losses = {
            name: loss((total + own) / size)
            for name, own in stacked.items()
            if name in counts or allowed([*counts, name])
        }
        name = min(losses, key=lambda n: (math.isnan(losses[n]), losses[n], n))
        total = total + stacked[name]
        counts[name] += 1
        if not chosen or losses[name] < reached - GAIN * abs(reached):
            reached = losses[name]
            chosen = {n: count / size for n, count in counts.items()}
    return chosen


def simplex(count: int, loss: Callable[[np.ndarray[Any, Any]], float]) -> np.ndarray[Any, Any]:
    """Weights `(count,)`, none negative, of sum 1, that about minimise a loss.

    Moves mass between pairs of weights in ever smaller steps from the centre: the loss need be
    neither smooth nor convex, and few evaluations suffice for the handful of modalities there are.
    """
    best = np.full(count, 1 / count)
    reached = loss(best)
    step = 0.25
    while step > 0.02 and count > 1:
        improved = False
        for giver in range(count):
            for taker in range(count):
                moved = min(step, best[giver])
                if giver == taker or moved <= 0:
                    continue
                trial = best.copy()
                trial[giver] -= moved
                trial[taker] += moved
                value = loss(trial)
                if value < reached:
                    best, reached, improved = trial, value, True
        if not improved:
            step /= 2
    return best
