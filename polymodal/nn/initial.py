"""How far weights are spread before training."""

from __future__ import annotations


def deviation(hidden: int) -> float:
    """Deviation of initial weights on `hidden` inputs: 0.02 on 768, as BERT has it.

    On fewer inputs the same deviation would leave outputs so small that attention starts flat, and
    a small network takes many times the steps to learn where to look.
    """
    return float(0.02 * (768 / hidden) ** 0.5)
