"""Colours: "#rrggbb". A kind of modality that the package does not know, made of this folder."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar, final

import pyarrow as pa

from polymodal.base import arrow
from polymodal.contract.block import Block
from polymodal.contract.form import Form
from polymodal.contract.kind import Guess, Kind, Seen
from polymodal.contract.parts import Parts
from polymodal.nn.blocks import Descriptors

CODE = re.compile(r"#[0-9a-fA-F]{6}")


@final
class Colour(Kind):
    """Colours as web pages write them."""

    columns: ClassVar = {"colour": "colours such as #a1b2c3"}
    encoder: ClassVar[str] = "dense"
    raw: ClassVar[str] = "dense"
    described: ClassVar[str | None] = "channels"

    def sniff(self, column: Seen) -> Guess | None:
        if not arrow.is_text(column.data.type):
            return None
        if any(self.mistake(self.name, cell) for cell in column.cells):
            return None
        return Guess(self.name, f"{len(set(column.cells)):,} different colours")

    def fits(self, column_kind: str, cells: pa.DataType) -> bool:
        return arrow.is_text(cells)

    def mistake(self, column_kind: str, value: Any) -> str | None:
        if value is None or CODE.fullmatch(value.strip()):
            return None
        return "is no colour such as #a1b2c3"

    def read(self, value: Any) -> Any:
        return None if value is None else value.strip().lower()

    def block(self, form: Form, most: int) -> Block:
        return Descriptors()

    def parts(
        self, cell: Any, forms: Sequence[Form], sample: Iterable[Any]
    ) -> tuple[Any, list[Parts]]:
        """Red, green and blue, each replaced by half of it."""
        starts = (1, 3, 5)
        cells = [f"{cell[:i]}80{cell[i + 2 :]}" for i in starts]
        return cell, [Parts("shades", "half of it", ["red", "green", "blue"], cells)]

    def drawing(self, sample: Callable[[], Iterable[Any]]) -> Callable[[Any], str]:
        return lambda cell: f'<svg viewBox="0 0 1 1"><rect fill="{cell}"/></svg>'
