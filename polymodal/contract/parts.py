"""A cell's parts, and the cell with each of them replaced: what a model is asked by occlusion.

After the grey squares of Zeiler and Fergus 2014, "Visualizing and Understanding Convolutional
Networks".
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

# Parts of one sort at most: of more, neighbours make one part.
PARTS = 64
# And of what goes on in time.
SPANS = 12
# How parts are shown: as bars, alone or under the drawn cell that they run along; as a grid over
# the drawn cell; as the text that they make; as a list of columns and their values.
LAYOUTS = ("bars", "along", "grid", "running", "listed")


@dataclass(frozen=True)
class Parts:
    """Parts of one sort of a cell.

    Attributes:
        unit: what they are: "patches", "words", "seconds", "frames", "steps", "channels", "cells".
        replaced_by: in words.
        labels: what each is called; of a grid line by line.
        cells: the cell with each of them replaced.
        layout: how a page shows them: one of LAYOUTS.
        columns: of a grid; 0 if they are none.
    """

    unit: str
    replaced_by: str
    labels: list[str]
    cells: list[Any]
    layout: str = "bars"
    columns: int = 0


def spans(length: int, most: int) -> list[tuple[int, int]]:
    """Starts and ends of `most` parts of nearly the same size; of one each if there are fewer."""
    cuts = np.linspace(0, length, min(length, most) + 1).round().astype(int).tolist()
    return list(pairwise(cuts))


def numbered(what: str, start: int, end: int) -> str:
    """From 1: "step 3", "steps 3–5"."""
    return f"{what} {end}" if end == start + 1 else f"{what}s {start + 1}–{end}"
