"""A sequence of any length as a fixed number of slices."""

from __future__ import annotations

from typing import Any

import numpy as np


def slices(x: np.ndarray[Any, Any], count: int) -> np.ndarray[Any, Any]:
    """Means of `count` equally long parts of `x (steps, d)`, `(count, d)`, parts of steps included.

    A constant stays that constant, and a sequence of `count` steps comes back as it is.
    """
    total = np.vstack([np.zeros(x.shape[1]), np.cumsum(x, axis=0, dtype=np.float64)])
    edges = np.linspace(0, len(x), count + 1)
    step = np.minimum(edges.astype(int), len(x) - 1)
    upto = total[step] + (edges - step)[:, None] * x[step]
    return np.diff(upto, axis=0) * count / len(x)
