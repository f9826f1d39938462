"""Boxes of pictures: their frame, and how they become targets and are read back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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

# A target's first line says how its frame lies in the picture; each other one is a box: left, top,
# right, bottom in the frame, and the code of its class.
HEAD, CLASS = 1, 4
# An answer's columns: how sure it is, the code of the class, left, top, right, bottom.
SCORE, OF, LEFT = range(3)


class Targets(Form):
    """A picture's boxes as `(1 + n, 5)`.

    Args:
        read: a known cell to its frame (two sides and two offsets, `frame`) and its boxes.
        classes: what codes stand for.
    """

    kind, dtype, ragged = "target", "float32", True

    def __init__(
        self, read: Callable[[Any], tuple[Array, Sequence[Box]]], *, classes: Sequence[str]
    ) -> None:
        self.read, self.classes = read, list(classes)

    def encode(self, cell: Any) -> Array:
        lies, boxes = self.read(cell)
        codes = {name: code for code, name in enumerate(self.classes)}
        found = np.zeros((HEAD + len(boxes), 5), np.float32)
        found[0, :CLASS] = lies
        for line, box in zip(found[HEAD:], boxes, strict=True):
            line[:CLASS] = (np.array(box.corners) - np.tile(lies[2:], 2)) / np.tile(lies[:2], 2)
            line[CLASS] = codes[box.label]
        # What lies outside of the picture nobody sees.
        found[HEAD:, :CLASS] = found[HEAD:, :CLASS].clip(0, 1)
        return found

    def decode(self, array: Array) -> str:
        """The boxes in pixels, in JSON."""
        boxes = true(array)
        return written(
            placed(in_words(boxes.places, boxes.classes, None, self.classes), array[0, :CLASS])
        )


def frame(width: int, height: int, stretched: bool) -> Array:
    """How the frame of places lies in a picture: its sides in pixels, and where it begins `(4,)`.

    A frame is the picture itself if pictures are `stretched` to squares, else the square around it
    that has its middle: as `image/pixels` shows a picture to a network.
    """
    if stretched:
        return np.array([width, height, 0, 0], float)
    side = max(width, height)
    return np.array([side, side, (width - side) / 2, (height - side) / 2], float)


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
    """Boxes `(n, 4)` in the frame."""
    found = []
    for i, (left, top, right, bottom) in enumerate(places.tolist()):
        score = None if scores is None else float(scores[i])
        found.append(Box(left, top, right - left, bottom - top, classes[int(codes[i])], score))
    return found


def placed(boxes: Sequence[Box], lies: Array) -> list[Box]:
    """Boxes in the frame, in pixels: to a hundredth of one."""
    across, down, left, top = (float(number) for number in lies)
    found = []
    for one in boxes:
        x, y = one.x * across + left, one.y * down + top
        sides = one.width * across, one.height * down
        x, y, width, height = (round(number, 2) for number in (x, y, *sides))
        found.append(one._replace(x=x, y=y, width=width, height=height))
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
