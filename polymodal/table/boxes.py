"""Boxes around what a picture shows, as cells of a table spell them."""

from __future__ import annotations

import ast
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from polymodal.base.spelling import canonical, is_missing

# What keys of mappings are called: a box's four numbers, what it is around, and how sure that is.
_PLACE = ("bbox", "box", "boxes", "bboxes")
_LABEL = ("category", "label", "class", "name", "categories", "labels", "classes", "category_id")
_SCORE = ("score", "scores")
# In words, for messages.
CELLS = 'a list of boxes [x, y, width, height, class] in pixels, as [[12, 30, 40, 20, "dog"]]'


class Box(NamedTuple):
    """One box: its left and upper end, its sides, in pixels; what it is around; how sure that is,
    where it is a prediction."""

    x: float
    y: float
    width: float
    height: float
    label: str
    score: float | None = None

    @property
    def corners(self) -> tuple[float, float, float, float]:
        """Left, top, right, bottom."""
        return self.x, self.y, self.x + self.width, self.y + self.height


def listed(cell: Any) -> list[Box] | None:
    """The boxes of a cell that is not missing, none where there are none; None if it spells none.

    Each is a list [x, y, width, height, class], with a score behind it if it has one, or a mapping
    (`{"bbox": [x, y, width, height], "category": class}`, as COCO has it); or one mapping holds the
    lists of all (`{"bbox": [[...], ...], "category": [...]}`). The whole may be written in JSON, or
    as Python prints it.
    """
    found = _opened(cell)
    if isinstance(found, Mapping):
        found = _together(found)
    if isinstance(found, np.ndarray):
        found = found.tolist()
    if not isinstance(found, Sequence) or isinstance(found, str | bytes):
        return None
    boxes = [_box(one) for one in found]
    return None if None in boxes else [box for box in boxes if box is not None]


def written(boxes: Sequence[Box]) -> str:
    """Boxes in JSON: `[[x, y, width, height, class], ...]`, with scores behind where they have
    some."""
    return json.dumps(
        [[*one[:5], *([] if one.score is None else [one.score])] for one in boxes],
        ensure_ascii=False,
    )


def _opened(cell: Any) -> Any:
    if not isinstance(cell, str) or cell.strip()[:1] not in ("[", "{"):
        return cell if not isinstance(cell, str) else None
    try:
        return json.loads(cell)
    except (ValueError, RecursionError):
        pass
    try:
        return ast.literal_eval(cell.strip())
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None


def _together(cell: Mapping[str, Any]) -> list[Any] | None:
    """One mapping of lists as a list of mappings."""
    place, label, score = (_key(cell, names) for names in (_PLACE, _LABEL, _SCORE))
    keys = [key for key in (place, label, score) if key is not None]
    lists = [cell[key] for key in keys]
    if place is None or label is None:
        return None
    if not all(isinstance(one, list | tuple | np.ndarray) for one in lists):
        return None
    if len({len(one) for one in lists}) > 1:
        return None
    return [dict(zip(keys, row, strict=True)) for row in zip(*lists, strict=True)]


def _box(one: Any) -> Box | None:
    if isinstance(one, Mapping):
        place, label, score = (_key(one, names) for names in (_PLACE, _LABEL, _SCORE))
        if place is None or label is None or not isinstance(one[place], list | tuple | np.ndarray):
            return None
        parts = [*one[place], one[label], *([] if score is None else [one[score]])]
    elif isinstance(one, list | tuple | np.ndarray):
        parts = list(one)
    else:
        return None
    if len(parts) not in (5, 6) or isinstance(parts[4], list | dict) or is_missing(parts[4]):
        return None
    numbers = [_number(part) for part in (*parts[:4], *parts[5:])]
    if any(number is None for number in numbers):
        return None
    x, y, width, height, *score_ = (number for number in numbers if number is not None)
    return Box(x, y, width, height, canonical(parts[4]), *score_)


def _key(cell: Mapping[str, Any], names: Sequence[str]) -> str | None:
    return next((name for name in names if name in cell), None)


def _number(part: Any) -> float | None:
    """A finite number, or None."""
    if isinstance(part, bool) or not isinstance(part, int | float | str | np.number):
        return None
    try:
        found = float(part)
    except (ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None
