"""Members combined as validation says: scores averaged with weights that are chosen greedily."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

Scores = Sequence[np.ndarray[Any, Any]]

ROUNDS = 25
# A round must improve the loss by this share of it: smaller gains are the validation rows' luck.
GAIN = 1e-3


def average(scores: Mapping[str, Scores], shares: Mapping[str, float]) -> list[Any]:
    """Weighted mean of the members' scores, row by row: `(size,)` or `(words, size)` arrays."""
    rows = len(next(iter(scores.values())))
    if rows and _stackable(scores):
        total = sum(share * np.stack(list(scores[name])) for name, share in shares.items())
        return list(np.asarray(total))
    return [sum(s * scores[name][i] for name, s in shares.items()) for i in range(rows)]


def greedy(scores: Mapping[str, Scores], loss: Callable[[Scores], float]) -> dict[str, float]:
    """Greedy selection with replacement (Caruana et al. 2004).

    Starts from the best member and adds, round by round, the one whose addition lowers the loss
    of the mean most. The loss of the result is never above the best member's.

    Returns:
        Member -> share, those above zero only; shares sum to 1.
    """
    losses = {name: loss(list(values)) for name, values in scores.items()}
    best = min(losses, key=lambda name: (losses[name], name))
    counts = {best: 1}
    reached = losses[best]
    for _ in range(ROUNDS):
        trials = {}
        for name in scores:
            tried = {**counts, name: counts.get(name, 0) + 1}
            total = sum(tried.values())
            shares = {n: c / total for n, c in tried.items()}
            trials[name] = loss(average({n: scores[n] for n in shares}, shares))
        name = min(trials, key=lambda n: (trials[n], n))
        if trials[name] > reached - GAIN * abs(reached):
            break
        reached = trials[name]
        counts[name] = counts.get(name, 0) + 1
    total = sum(counts.values())
    return {name: count / total for name, count in counts.items()}


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


def _stackable(scores: Mapping[str, Scores]) -> bool:
    return all(len({np.shape(v) for v in values}) == 1 for values in scores.values())
