"""Requests' rows as one table, and what became of each."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from polymodal.base.errors import UserError
from polymodal.contract import kind
from polymodal.run.rows import whole
from polymodal.run.run import Run
from polymodal.serve.errors import Refused
from polymodal.table.ledger import Ledger
from polymodal.table.media import Media
from polymodal.table.read import Table, read
from polymodal.table.resolve import Reach


class Rows:
    """Requests' rows as one table.

    Attributes:
        table: what their cells hold themselves: it names no files and no addresses.
        ledger: what became of its rows.
    """

    def __init__(self, run: Run, asked: Sequence[Mapping[str, Any]]) -> None:
        self.asked = asked
        self.places = [(i, n) for i, one in enumerate(asked) for n in range(len(one["rows"]))]
        self.rows = len(self.places)
        self.ledger = Ledger()
        self.kinds = {column.name: column.kind for column in run.schema.inputs}
        self.large: dict[int, str] = {}
        given = self._measured(row for one in asked for row in one["rows"])
        rows = whole(run.schema, given, self.ledger)
        table = replace(read(rows), reach=Reach(sealed=True), source="the request")
        self.table = _checked(run, table, self.rows)

    def split(self, of: Callable[[int], Any]) -> list[Any]:
        """Each request's answers, or why it has none."""
        refused = self.refused()
        found: list[dict[str, Any]] = [{"rows": [], "warnings": []} for _ in self.asked]
        for row, (own, number) in enumerate(self.places):
            found[own]["warnings"] += [{"row": number, **one} for one in self.warnings(row)]
            found[own]["rows"].append(of(row))
        return [refused.get(i, one) for i, one in enumerate(found)]

    def refused(self) -> dict[int, Refused]:
        """Requests with a cell of another kind, or one that cannot be read."""
        refused: dict[int, Refused] = {}
        odd = {int(row): one for one in self.table.odd for row in one.rows}
        for row, (own, number) in enumerate(self.places):
            if row in self.large:
                refused.setdefault(own, self._larger(number, self.large[row]))
            if row in odd:
                column, wanted = odd[row].column, kind.of(odd[row].kind).columns[odd[row].kind]
                what = f"The cell of '{column}' is no {odd[row].kind}: expected {wanted}"
                param = f"rows.{number}.{column}"
                refused.setdefault(own, Refused(400, what, param=param, code="wrong_kind"))
            for column in self._unreadable(row):
                wanted = self.kinds.get(column, "numbers and names")
                what = f"The cell of '{column}' in row {number} cannot be read as {wanted}"
                param = f"rows.{number}.{column}"
                refused.setdefault(own, Refused(400, what, param=param, code="unreadable"))
        return refused

    def _measured(self, rows: Iterator[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
        """Rows without media that are too much to decode, which are noted in `large`."""
        for number, row in enumerate(rows):
            for name, cell in row.items():
                room = kind.of(self.kinds[name]) if name in self.kinds else None
                if room is None or room.most is None or not isinstance(cell, bytes):
                    continue
                with contextlib.suppress(UserError):  # one that cannot be read is told of later
                    if room.measure(Media(name, data=cell)) > room.most[0]:
                        self.large[number] = name
                        row = {**row, name: None}
            yield row

    def _larger(self, number: int, column: str) -> Refused:
        most = kind.of(self.kinds[column]).most
        what = f"The cell of '{column}' in row {number} holds more than {most and most[1]}"
        param = f"rows.{number}.{column}"
        return Refused(413, what, param=param, code="too_large")

    def warnings(self, row: int) -> list[dict[str, str]]:
        """What was cut off, and what a model never learned."""
        return [
            {"column": one.column, "message": one.reason}
            for one in self.ledger.of(row)
            if one.doubtful or one.outcome == "truncated"
        ]

    def _unreadable(self, row: int) -> list[str]:
        """Columns whose cell no form could encode."""
        told = self.ledger.of(row)
        return [one.column for one in told if one.outcome == "incomplete" and not one.doubtful]


def _checked(run: Run, table: Table, rows: int) -> Table:
    """The table as the schema reads it, whatever share of its cells is of another kind.

    Each request is judged by itself; those of others in the same batch do not count.
    """
    try:
        return run.pipeline.table(table)
    except UserError:
        if rows == 1:
            raise
        # One row's cell is noted, most of many would be an error.
        parts = [run.pipeline.table(table.slice(i, i + 1)) for i in range(rows)]
        odd = tuple(
            replace(one, rows=one.rows + i) for i, part in enumerate(parts) for one in part.odd
        )
        return replace(parts[0].concat(*parts[1:]), odd=odd, source=table.source)
