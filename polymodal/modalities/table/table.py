"""Table: numbers, categories and sets, all of a row's together as one modality."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, final

import pyarrow as pa

from polymodal.base import arrow
from polymodal.contract.block import Block
from polymodal.contract.form import Form
from polymodal.contract.kind import Guess, Kind, Seen
from polymodal.contract.parts import PARTS, Parts, spans
from polymodal.modalities import _drawing
from polymodal.modalities.table import sniff
from polymodal.modalities.table.block import Slotted
from polymodal.modalities.table.forms.cells import Cells
from polymodal.table import columns, numbers, values
from polymodal.table.reading import Reading


@final
class Table(Kind):
    """Numbers, categories and sets."""

    columns: ClassVar = {
        "number": "numbers, dates or times, as people write them",
        "category": "one name or number a cell",
        "set": "lists of labels, or labels joined by ';', '|' or ','",
    }
    order: ClassVar[int] = 80
    joint: ClassVar[bool] = True
    encoder: ClassVar[str] = "mlp"
    raw: ClassVar[str] = "cells"
    described: ClassVar[str | None] = "cells"
    # Trees split on every slot, but not well on categories of many codes.
    scored: ClassVar[bool] = True

    def sniff(self, column: Seen) -> Guess | None:
        if column.levels == 1 and arrow.is_text(column.inner):
            return sniff.of_lists(column.cells)
        if not column.is_plain:
            return None
        if pa.types.is_boolean(column.inner):
            return Guess("category", "true or false")
        found = numbers.find(column.data)
        if found is not None:
            return sniff.of_numbers(column.name, found)
        if arrow.is_number(column.inner) and not pa.types.is_integer(column.inner):
            return Guess("number", "numbers, many of them infinite")
        return sniff.of_strings(column.name, [str(cell) for cell in column.cells])

    def declared(self, column_kind: str, column: Seen) -> dict[str, Any]:
        if column_kind != "number" or not column.is_plain:
            return {}
        found = numbers.find(column.data, declared=True)
        return found.details() if found is not None else {}

    def typed(
        self, column_kind: str, details: Mapping[str, Any], data: pa.ChunkedArray
    ) -> tuple[pa.ChunkedArray, dict[int, str]]:
        """Numbers and dates as such; other cells as they are."""
        if column_kind != "number" or not arrow.is_plain(data.type):
            return data, {}
        return columns.read_column(data, Reading.from_json(details.get("reads", {})))

    def fits(self, column_kind: str, cells: pa.DataType) -> bool:
        if column_kind == "number" and pa.types.is_fixed_size_list(cells):
            return pa.types.is_floating(cells.value_type)  # read already: "120/80"
        levels, inner = arrow.depth(cells)
        lists = column_kind == "set" and levels == 1 and not pa.types.is_struct(inner)
        return arrow.is_plain(cells) or lists

    def given(self, column_kind: str) -> tuple[str, ...]:
        types = {"number": ("number", "string"), "set": ("strings", "string")}
        return types.get(column_kind, ("string", "number", "boolean"))

    def mistake(self, column_kind: str, value: Any) -> str | None:
        if column_kind == "number":
            try:
                values.number(value)
            except ValueError as error:
                return str(error)
        return None

    def key(self, column_kind: str, value: Any) -> Any:
        if type(value) is float:
            return value
        if column_kind == "set" or isinstance(value, list):
            return None if value is None else repr(value)
        return values.category(value)

    def is_ordered(self, column_kind: str) -> bool:
        return column_kind == "number"

    def block(self, form: Form, most: int) -> Block:
        assert isinstance(form, Cells)
        return Slotted(form)

    def parts(
        self, cell: Mapping[str, Any], forms: Sequence[Form], sample: Iterable[Any]
    ) -> tuple[Any, list[Parts]]:
        """Cells that are not missing, each replaced by a missing one."""
        known = [name for name, value in cell.items() if value is not None]
        labels, covered = [], []
        for start, end in spans(len(known), PARTS):
            gone = known[start:end]
            covered.append({n: None if n in gone else value for n, value in cell.items()})
            labels.append(", ".join(gone))
        return cell, [Parts("cells", "a missing cell", labels, covered, "listed")]

    def drawing(self, sample: Callable[[], Iterable[Any]]) -> Callable[[Any], str]:
        return lambda cell: _drawing.words(cell, 40)
