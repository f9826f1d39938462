"""A table as its schema reads it: numbers and dates as such, and what says nothing missing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa

from polymodal.base import lookup
from polymodal.base.arrow import is_text
from polymodal.base.errors import UserError
from polymodal.contract import kind
from polymodal.table import columns as _columns
from polymodal.table import marks, numbers, reading
from polymodal.table.nothing import PROGRAMS, is_word
from polymodal.table.read import Odd, Table
from polymodal.table.schema import Column

# What is said of all columns, in the place of a column's name.
ALL = "*"
# Texts of so many words at least are no names: "nan" among them is no word of theirs.
WORDY = 4


@dataclass(frozen=True)
class Stated:
    """What the user says of how cells are written, by column, or of all under ALL.

    Attributes:
        decimal: "." or ",".
        date: one of `dates.ORDERS`, or a format such as "%d.%m.%y".
        missing: words that say that nothing is known.
    """

    decimal: Mapping[str, str] = field(default_factory=dict)
    date: Mapping[str, str] = field(default_factory=dict)
    missing: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def check(self, table: Table) -> None:
        """UserError for a column that is not there, or a mark or an order that is none."""
        for flag, given in (
            ("decimal", self.decimal),
            ("date", self.date),
            ("missing", self.missing),
        ):
            for name in given:
                if name != ALL and name not in table.names:
                    what = f"{table.source} has no column '{name}' (`{flag}`)"
                    raise lookup.unknown(what, name, table.names, "check the table's header")
        for mark in self.decimal.values():
            if mark not in (".", ","):
                raise UserError(
                    f"`decimal` has the mark {mark!r}",
                    expected="a point or a comma",
                    got=repr(mark),
                )
        for order in self.date.values():
            if "%" not in order and order not in ("dmy", "mdy", "ymd"):
                raise UserError(
                    f"`date` has the order {order!r}",
                    expected="dmy, mdy, ymd, or a format such as %d.%m.%y",
                    got=repr(order),
                )

    def applied(self, table: Table) -> tuple[Table, dict[str, dict[str, Any]]]:
        """The table with what is said of its cells done, and what the schema keeps of it.

        Raises:
            UserError: the cells of a column are no numbers, or no dates, as the user says them.
        """
        self.check(table)
        kept: dict[str, dict[str, Any]] = {}
        table = _without_words(table)
        columns = dict(zip(table.names, table.data.columns, strict=True))
        shown, either = ({}, {}) if ALL in self.decimal else marks.leaning(columns, self.decimal)
        either = {name: cell for name, cell in either.items() if name not in self.date}
        if not (self.decimal or self.date or self.missing or either):
            return table, kept
        for name, column in columns.items():
            found: dict[str, Any] = {}
            words = [*self.missing.get(ALL, ()), *self.missing.get(name, ())]
            if words:
                found["missing"] = words
                column = columns[name] = _columns.blanked(column, words)
            if name in either:
                read = _leant(shown, either[name], column, found)
            elif is_text(column.type):
                read = self._read(table, name, column)
            else:
                read = None
                self._check_typed(table, name, column)
            if read is not None:
                column, _ = _columns.read_column(column, read)
                found["reads"] = read.to_json()
            if found:
                kept[name] = found
                columns[name] = column
        return replace(table, data=pa.table(columns)), kept

    def _check_typed(self, table: Table, name: str, column: pa.ChunkedArray) -> None:
        """UserError where the user says how cells are written that are not written at all."""
        flag = "date" if name in self.date else "decimal" if name in self.decimal else None
        if flag is not None and column.null_count < len(column):
            raise UserError(
                f"`{flag}` says how the cells of '{name}' in {table.source} are written",
                expected="texts",
                got=f"cells of the type {column.type}",
                do=f"leave out `{flag} {name}=...`",
            )

    def _read(self, table: Table, name: str, column: pa.ChunkedArray) -> reading.Reading | None:
        for given, word in ((self.date, "order"), (self.decimal, "decimal")):
            said = given.get(name, given.get(ALL))
            if said is None or column.null_count == len(column):
                continue
            own = name in given
            found = numbers.find(column, declared=own, **{word: said})
            if found is not None and (own or word == "order" or _uses(found.reading)):
                return found.reading
            if own:
                what = "dates" if word == "order" else "numbers"
                raise UserError(
                    f"The cells of '{name}' in {table.source} are no {what} written so",
                    expected=f"{what} written with '{said}' in half of its cells at least",
                    got=", ".join(repr(cell) for cell in column.drop_null()[:3].to_pylist()),
                    do="leave it out, or say how they are written",
                )
        return None


def _leant(
    shown: Mapping[str, str], example: str, column: pa.ChunkedArray, found: dict[str, Any]
) -> reading.Reading | None:
    """How cells are read that could have either decimal mark: as the other columns are written.

    Args:
        shown: mark -> a column that shows it.
        example: one of the cells.
        found: what is kept of the column: gets a reason, or what to ask the user.
    """
    if len(shown) == 1 and "," in shown:
        read = numbers.find(column, decimal=",")
        if read is not None and _uses(read.reading):
            found["why"] = f"with decimal commas as in '{shown[',']}'"
            return read.reading
    elif len(shown) != 1:
        found["open"] = example.strip()
    return None


def _without_words(table: Table) -> Table:
    """The table without columns of nothing but "nan" and the like."""
    columns = dict(zip(table.names, table.data.columns, strict=True))
    emptied = {}
    for name, column in columns.items():
        first = column[0].as_py() if is_text(column.type) else ""
        if first is not None and first.strip().lower() not in PROGRAMS:
            continue
        words = _columns.counted(column)
        if words and all(word.strip().lower() in PROGRAMS for word in words):
            emptied[name] = _columns.blanked(column, map(str.strip, words))
    return replace(table, data=pa.table(columns | emptied)) if emptied else table


def _uses(found: reading.Reading) -> bool:
    # A mark that is meant for all columns does not part several numbers in a cell.
    return found.what == "number"


def typed(schema: Iterable[Column], table: Table) -> Table:
    """The table as its schema's columns read it; others stay as they are.

    Raises:
        UserError: most present cells of a column are not of its kind.
    """
    columns = dict(zip(table.names, table.data.columns, strict=True))
    found, known = list(table.odd), kind.readers()
    for column in schema:
        if column.name not in columns:
            continue
        cells = _columns.blanked(columns[column.name], column.details.get("missing", ()))
        columns[column.name] = cells
        room = known.get(column.kind)
        if room is None or pa.types.is_null(cells.type):
            continue
        columns[column.name], odd = room.typed(column.kind, column.details, cells)
        if odd:
            first = min(odd)
            shown = f"{cells[first].as_py()!r:.80} in row {first}, which {odd[first]}"
            # A single cell may be a slip whatever the table's size: one row is read like many.
            if len(odd) > max(1, (len(cells) - cells.null_count) / 2):
                raise unfit(table, column, room.columns[column.kind], shown)
            found.append(Odd(column.name, column.kind, np.array(sorted(odd)), shown))
    return replace(table, data=pa.table(columns), odd=tuple(found))


def unfit(table: Table, column: Column, expected: str, got: str) -> UserError:
    """The error for cells that are not of their column's kind."""
    return UserError(
        f"The column '{column.name}' of {table.source} is not of kind {column.kind}",
        expected=expected,
        got=got,
        do=f"correct the cells, or fit with `kind {column.name}=...` or `drop {column.name}`",
    )


def gone(room: kind.Kind, data: pa.ChunkedArray) -> dict[str, int]:
    """Words in cells of texts or of names of files that say that nothing is known."""
    if not is_text(data.type) or not (room.media or room.words):
        return {}
    counts = _columns.counted(data)
    words = {text: n for text, n in counts.items() if is_word(text)}
    if not words:
        return {}
    rest = [(len(text.split()), n) for text, n in counts.items() if text not in words]
    cells = sum(n for _, n in rest)
    wordy = cells > 0 and sum(length * n for length, n in rest) >= WORDY * cells
    return words if room.media or wordy else {}


def named(words: Mapping[str, int]) -> Iterator[str]:
    """What counts as missing, in words."""
    if words:
        shown = ", ".join(f"'{word}'" for word in list(words)[:4])
        count = sum(words.values())
        yield f"{shown} in {count:,} cell{'s' * (count > 1)} counts as missing"
