"""Random numbers for the built-in sets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

Item = TypeVar("Item")


def stream(seed: int, row: int, purpose: str) -> np.random.Generator:
    """Random numbers of one row for one purpose, so that no column changes another."""
    return np.random.default_rng([seed, row, *purpose.encode()])


def pick(items: Sequence[Item], rng: np.random.Generator) -> Item:
    """One of the items, each as likely; `rng.choice` would first copy them to an array."""
    return items[int(rng.integers(len(items)))]
