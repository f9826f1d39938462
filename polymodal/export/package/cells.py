"""Rows of cells as the graphs of an exported model read them."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from polymodal.base import lookup
from polymodal.base.errors import UserError
from polymodal.contract.answers import Array
from polymodal.contract.form import Form
from polymodal.table import alone
from polymodal.table.cuts import pieces
from polymodal.table.reading import Reading
from polymodal.table.resolve import resolve

Row = Mapping[str, Any]
# Cells that a form is given at once: a pretrained model is faster on several.
TOGETHER = 64


@dataclass(frozen=True)
class Encoded:
    """A modality's cells as a form's arrays.

    Attributes:
        arrays: one a row; None where the cell is missing.
        shape: of one position of a ragged form, or of the whole array.
    """

    arrays: Sequence[Array | None]
    shape: tuple[int, ...]
    dtype: str
    ragged: bool

    @property
    def present(self) -> Array:
        return np.array([array is not None for array in self.arrays], bool)

    def batch(self, rows: slice, name: str) -> dict[str, Array]:
        """What a graph reads of some rows; ragged arrays are padded to the longest, at least 1."""
        own = self.arrays[rows]
        lengths = np.array(
            [len(array) if self.ragged and array is not None else 0 for array in own], np.int64
        )
        longest = int(lengths.max(initial=1))
        lead = (longest,) if self.ragged else ()
        data: Array = np.zeros((len(own), *lead, *self.shape), self.dtype)
        for row, array in zip(data, own, strict=True):
            if array is not None and self.ragged:
                row[: len(array)] = array
            elif array is not None:
                row[...] = array
        found = {f"{name}.data": data, f"{name}.present": self.present[rows]}
        if self.ragged:
            found[f"{name}.mask"] = np.arange(longest) < lengths[:, None]
        return found


def known(
    rows: Sequence[Row], columns: Sequence[Mapping[str, Any]], naming: Collection[str]
) -> list[dict[str, Any]]:
    """Rows with the columns that the model knows, cells as tables hold them.

    Raises:
        UserError: there is no row; or a row has none of them, or one of nearly the name of one
            that it lacks.
    """
    if not rows:
        raise UserError("There are no rows to predict", expected="one row at least")
    inputs = [column["name"] for column in columns]
    found = []
    for row in rows:
        own = {n: alone.held(row[n]) for n in (*inputs, *naming) if n in row}
        lacking = [name for name in inputs if name not in row]
        for name in row:
            if name not in own and (not own or lookup.nearest(str(name), lacking) is not None):
                raise lookup.unknown(f"The model has no input column '{name}'", str(name), inputs)
        found.append(own)
    return found


def read(
    rows: Sequence[Row],
    columns: Sequence[Mapping[str, Any]],
    modality: Mapping[str, Any],
    base: str | None,
) -> list[Any]:
    """A modality's cells as its forms take them, None where missing.

    Args:
        columns: the modality's: "name", "details" and, of numbers, "numbers".
        modality: "joint", "media", "words": as of `contract.kind.Kind`.
    """
    if not modality["joint"]:
        (column,) = columns
        return [_cell(row, i, column, modality, base) for i, row in enumerate(rows)]
    found: list[Any] = []
    for i, row in enumerate(rows):
        cells = {c["name"]: _cell(row, i, c, modality, base) for c in columns}
        found.append(None if all(value is None for value in cells.values()) else cells)
    return found


def encoded(
    cells: Sequence[Any], form: Form, shape: tuple[int, ...], name: str, rows: Sequence[Row]
) -> Encoded:
    """Cells as a form's arrays.

    Raises:
        UserError: a cell cannot be decoded.
    """
    for column, strange in form.unlearned(partial(_column, rows)).items():
        warnings.warn(
            f"'{column}' has a value that no training row has, or hardly any, in row {strange[0]}"
            f" and {len(strange) - 1} others: it counts as missing",
            stacklevel=2,
        )
    arrays: list[Array | None] = [None] * len(cells)
    there = [i for i, cell in enumerate(cells) if cell is not None]
    for start in range(0, len(there), TOGETHER):
        part = there[start : start + TOGETHER]
        for i, array in zip(part, form.encode_many([cells[i] for i in part]), strict=True):
            if array.shape[int(form.ragged) :] != shape:
                raise UserError(
                    f"'{name}' of row {i} has another shape than the training rows'",
                    expected=str(shape),
                    got=str(array.shape[int(form.ragged) :]),
                )
            arrays[i] = array
    return Encoded(arrays, shape, form.dtype, form.ragged)


def _cell(
    row: Row, number: int, column: Mapping[str, Any], modality: Mapping[str, Any], base: str | None
) -> Any:
    name, details = column["name"], column["details"]
    value = row.get(name)
    if value is None or alone.is_blank(value, details.get("missing", ())):
        return None
    if modality["media"]:
        return resolve(value, base, f"row {number}, column '{name}'")
    if column["listed"]:
        value = alone.items(value)
    if column["numbers"]:
        try:
            return alone.number(value, Reading.from_json(details.get("reads", {})))
        except ValueError as error:
            warnings.warn(
                f"the cell {value!r:.80} of '{name}' in row {number} {error}: it counts as missing",
                stacklevel=2,
            )
            return None
    if not modality["words"]:
        return value
    value = pieces(value, details.get("cut"))
    return value if isinstance(value, list) else str(value)


def _column(rows: Sequence[Row], name: str) -> list[Any]:
    return [row.get(name) for row in rows]
