"""Boxes of pictures: how they become targets, are read back, and what may be odd of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from polymodal.base.errors import UserError
from polymodal.base.spelling import is_missing
from polymodal.contract.form import Form
from polymodal.contract.metric import Metric
from polymodal.contract.scoring import Build, Sides
from polymodal.metrics.detection import Boxes, detection
from polymodal.table.boxes import CELLS, Box, listed, written
from polymodal.tasks import _labels

Array = np.ndarray[Any, Any]

# A target's first line holds its picture's width and height; each other one is a box: left, top,
# right, bottom as shares of these, and the code of its class.
HEAD, CLASS = 1, 4
# An answer's columns: how sure it is, the code of the class, left, top, right, bottom as shares.
SCORE, OF, LEFT = range(3)


# What may be odd of boxes: what to say where it is so of more than a share of them, and of fewer.
BEYOND, EMPTY, SHARES, EVERY = (
    *("reach beyond their picture", "have no area", "lie within the first pixel"),
    "",
)
REMARKS = {
    BEYOND: (
        "are they left, top, right and bottom? Read are x, y, width and height",
        "they are cut at its edge",
    ),
    EMPTY: ("they are left out", "they are left out"),
    SHARES: ("are they shares of the sides? Read are pixels", ""),
}
DOUBTED, TINY = 0.2, 8


class Targets(Form):
    """A picture's boxes as `(1 + n, 5)`.

    Args:
        read: a known cell to its picture's width and height, and its boxes.
        classes: what codes stand for.
    """

    kind, dtype, ragged = "target", "float32", True

    def __init__(
        self,
        read: Callable[[Any], tuple[tuple[int, int], Sequence[Box]]],
        *,
        classes: Sequence[str],
    ) -> None:
        self.read, self.classes = read, list(classes)

    def encode(self, cell: Any) -> Array:
        sides, boxes = self.read(cell)
        codes = {name: code for code, name in enumerate(self.classes)}
        found = np.zeros((HEAD + len(boxes), 5), np.float32)
        found[0, :2] = sides
        for line, box in zip(found[HEAD:], boxes, strict=True):
            line[:CLASS] = np.array(box.corners) / np.tile(sides, 2)
            line[CLASS] = codes[box.label]
        # What lies outside of the picture nobody sees.
        found[HEAD:, :CLASS] = found[HEAD:, :CLASS].clip(0, 1)
        return found

    def decode(self, array: Array) -> str:
        """The boxes in pixels, in JSON."""
        boxes, (width, height) = true(array), array[0, :2].tolist()
        own = in_words(boxes.places, boxes.classes, None, self.classes)
        return written(placed(own, int(width), int(height)))


def true(target: Array) -> Boxes:
    """A target's boxes."""
    lines = target[HEAD:]
    return Boxes(lines[:, :CLASS].astype(float), lines[:, CLASS].astype(int), np.zeros(0))


def told(answer: Array) -> Boxes:
    """An answer's boxes."""
    return Boxes(answer[:, LEFT:], answer[:, OF].astype(int), answer[:, SCORE])


def in_words(
    places: Array, codes: Array, scores: Array | None, classes: Sequence[str]
) -> list[Box]:
    """Boxes `(n, 4)`, as shares."""
    found = []
    for i, (left, top, right, bottom) in enumerate(places.tolist()):
        score = None if scores is None else float(scores[i])
        found.append(Box(left, top, right - left, bottom - top, classes[int(codes[i])], score))
    return found


def placed(boxes: Sequence[Box], width: int, height: int) -> list[Box]:
    """Boxes of shares in pixels of a picture: to a hundredth of one."""
    found = []
    for one in boxes:
        x, across = (round(share * width, 2) for share in (one.x, one.width))
        y, down = (round(share * height, 2) for share in (one.y, one.height))
        found.append(one._replace(x=x, y=y, width=across, height=down))
    return found


def boxes_of(cell: Any, column: str) -> list[Box]:
    """The boxes of a cell that is not missing.

    Raises:
        UserError: it spells none.
    """
    found = listed(cell)
    if found is None:
        raise UserError(
            f"A cell of target '{column}' is no list of boxes",
            expected=CELLS,
            got=repr(cell)[:80],
            do="write it so, in JSON in a CSV file; an empty list says that there is none",
        )
    return found


def scored(sides: Sides) -> tuple[Build, dict[str, Any]]:
    """Predictions of boxes from anywhere against their references."""
    gold: list[list[Box]] = sides.references
    given = {
        name: [[] if is_missing(cell) else boxes_of(cell, name) for cell in cells]
        for name, cells in sides.predictions.items()
    }
    every = [*gold, *(row for rows in given.values() for row in rows)]
    classes = _labels.in_order(box.label for row in every for box in row)
    codes = {name: code for code, name in enumerate(classes)}

    def coded(rows: Sequence[Sequence[Box]]) -> list[Boxes]:
        return [
            Boxes(
                np.array([box.corners for box in row], float).reshape(-1, 4),
                np.array([codes[box.label] for box in row], int),
                np.array([1.0 if box.score is None else box.score for box in row]),
            )
            for row in rows
        ]

    def build(names: Sequence[str]) -> dict[str, Metric]:
        predicted = [row for name in names for row in coded(given[name])]
        return detection(predicted, coded(gold) * len(names))

    return build, {"classes": dict.fromkeys(given, classes)}


def is_some(box: Box) -> bool:
    return box.width > 0 and box.height > 0


def odd(box: Box, width: int, height: int) -> list[str]:
    """What is odd of a box, keys of REMARKS; and that there is one."""
    left, top, right, bottom = box.corners
    beyond = left < -1 or top < -1 or right > width + 1 or bottom > height + 1
    small = max(right, bottom) <= 1 and min(width, height) > TINY
    told = {BEYOND: beyond, EMPTY: not is_some(box), SHARES: small}
    return [EVERY, *(what for what, is_so in told.items() if is_so)]


def remarks(counts: Mapping[str, int], column: str) -> list[tuple[str, str]]:
    """What to say of boxes of which so many are odd: severity, sentence."""
    found = []
    for what, (often, seldom) in REMARKS.items():
        doubted = counts[what] > DOUBTED * counts[EVERY]
        if counts[what] and (doubted or seldom):
            told = f"{counts[what]:,} of {counts[EVERY]:,} boxes of '{column}' {what}"
            says = often if doubted else seldom
            found.append(("warning" if doubted else "info", f"{told}: {says}"))
    return found
