"""A metric that can be computed again on any resample of its rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Metric:
    """A score over rows that can be computed again on any resample of them.

    Attributes:
        statistic: `weights (resamples, rows) float` -> `(resamples,)`: the metric where row i
            counts weights[:, i] times. All ones is the plain value. It must be vectorised: 10 000
            resamples of 10 000 rows are asked of it.
        greater_is_better: the direction.
        share: whether it is the share of rows of which something is true. Its interval is exact
            where that is so of all of them, or of none.
    """

    statistic: Callable[[np.ndarray[Any, Any]], np.ndarray[Any, Any]]
    greater_is_better: bool = True
    share: bool = False
