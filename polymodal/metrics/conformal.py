"""Regions that hold the truth with a stated probability: split-conformal prediction.

How strange the truth was to a model in rows that it had not learned from says how strange it may
be in new ones. Rows of one group say the same thing several times, so every group counts once (Lee,
Barber and Willett, "Distribution-free inference with hierarchical data", 2023); without groups this
is split-conformal prediction (Vovk et al. 2005; Lei et al. 2018).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from polymodal.contract.metric import Metric
from polymodal.metrics._weighted import Array


@dataclass(frozen=True)
class Strangeness:
    """How strange the truth was to a model in rows that it had not learned from.

    Attributes:
        scores: `(rows,)` rising, float32.
        shares: `(rows,)`: each row's part of the whole, which falls short of 1 by what one new
            group stands for.
    """

    scores: Array
    shares: Array

    def within(self, level: float) -> float:
        """Up to which strangeness the truth of a new row lies with this probability, at least.

        Infinite where the rows, or groups, are too few to say it: 9 are the fewest for .9.
        """
        reached = np.flatnonzero(np.cumsum(self.shares, dtype=np.float64) >= level - 1e-6)
        return float(self.scores[reached[0]]) if len(reached) else math.inf


def strangeness(scores: Array, groups: Array | None = None) -> Strangeness:
    """What rows' scores say, each group of rows counting once.

    Args:
        scores: `(rows,)`.
        groups: `(rows,)` codes; None: each row is one.
    """
    order = np.argsort(scores, kind="stable")
    own = np.arange(len(scores)) if groups is None else np.unique(groups, return_inverse=True)[1]
    sizes = np.bincount(own, minlength=1)
    shares = 1 / ((len(sizes) + 1) * sizes[own]) if len(scores) else np.zeros(0)
    return Strangeness(scores[order].astype(np.float32), shares[order].astype(np.float32))


def coverage(inside: Array) -> Metric:
    """The share of rows whose truth lies in its region.

    Args:
        inside: `(rows,)` bool.
    """
    held = inside.astype(float)
    return Metric(lambda w: w @ held / np.maximum(w.sum(1), 1e-12))
