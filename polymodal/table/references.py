"""Cells of predictions from anywhere and of their references, read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from polymodal.base.errors import UserError
from polymodal.base.spelling import canonical, is_missing
from polymodal.contract.scoring import Cells, Sides
from polymodal.table import values

Parsed = TypeVar("Parsed")


def text(cell: Any) -> str | None:
    """A cell in its one spelling; None where it is missing. UserError if it holds no text."""
    if is_missing(cell):
        return None
    if isinstance(cell, list | dict | bytes):
        raise UserError("A cell holds no text", expected="a text or a number", got=repr(cell)[:80])
    return canonical(cell)


def number(cells: Cells) -> float | None:
    """The number in a row's only cell; None where it is missing. UserError if it holds none."""
    try:
        found = values.number(cells[0])
    except ValueError as error:
        raise UserError(f"A cell {error}", expected="a number", got=repr(cells[0])[:80]) from error
    return None if np.isnan(found) else found


def one(read: Callable[[Any], Parsed]) -> Callable[[Cells], Parsed | None]:
    """A reference that stands in a single cell."""
    return lambda cells: None if is_missing(cells[0]) else read(cells[0])


def answers(sides: Sides, name: str) -> list[str | None]:
    """A system's answers as texts; None where there is none or none can be extracted."""
    found = [text(cell) for cell in sides.predictions[name]]
    if sides.extract is None:
        return found
    return [None if one is None else sides.extract(one) for one in found]


def texts(cells: Cells) -> list[str] | None:
    """A row's texts: of several columns, of lists, of JSON lists."""
    listed = [values.json_list(cell) if isinstance(cell, str) else cell for cell in cells]
    parts = [
        part
        for cell, several in zip(cells, listed, strict=True)
        for part in (several if isinstance(several, list) else [cell])
    ]
    found = [one for one in map(text, parts) if one is not None]
    return found or None
