"""The ledger: what became of every row, and why."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

# Truncated and incomplete rows are among those used: without a cell's end, without a cell.
OUTCOMES = ("used", "truncated", "incomplete", "skipped")


class Fate(NamedTuple):
    """What became of a row: see `Ledger.add`."""

    outcome: str
    reason: str
    column: str
    doubtful: bool


class Ledger:
    """A table's rows by outcome and reason, so that none is lost in silence."""

    def __init__(self) -> None:
        self._rows: dict[str, dict[str, np.ndarray[Any, Any]]] = {name: {} for name in OUTCOMES}
        self._doubtful: dict[str, str] = {}
        self._columns: dict[str, str] = {}
        self._remarks: dict[str, None] = {}

    def add(
        self,
        outcome: str,
        reason: str,
        rows: Sequence[int] | np.ndarray[Any, Any],
        doubtful: str = "",
        column: str = "",
    ) -> None:
        """Add rows; one that is there already, as from another form of its column, counts once.

        Args:
            outcome: one of OUTCOMES; a KeyError otherwise.
            reason: in words, with the table and the column where there is one.
            rows: their numbers; without any nothing is noted.
            doubtful: an example, where whoever wrote the cells may have meant something else, so
                that it is to be said even if nobody asks for the ledger.
            column: whose cells the reason is about.
        """
        reasons = self._rows[outcome]
        if len(rows):
            reasons[reason] = np.union1d(reasons.get(reason, np.arange(0)), rows)
            self._columns[reason] = column
            if doubtful:
                self._doubtful.setdefault(reason, doubtful)

    def remark(self, what: str) -> None:
        """Note, once, what is doubtful of a table but true of no row alone."""
        self._remarks[what] = None

    def of(self, row: int) -> list[Fate]:
        """What became of one row."""
        return [
            Fate(outcome, reason, self._columns[reason], reason in self._doubtful)
            for outcome in OUTCOMES[1:]
            for reason, rows in self._rows[outcome].items()
            if row in rows
        ]

    def lines(self, doubtful: bool = False) -> list[str]:
        """In words, with examples: what became of rows that are not simply used.

        Args:
            doubtful: only what is to be said even if nobody asks.
        """
        found = list(self._remarks)
        for outcome in OUTCOMES[1:]:
            for reason, rows in self._rows[outcome].items():
                example = self._doubtful.get(reason)
                if example or not doubtful:
                    such = f", such as {example}" if example else ""
                    found.append(f"{len(rows):,} row{'s' * (len(rows) > 1)}: {reason}{such}")
        return found

    def warn(self) -> None:
        """Python's warnings of what is doubtful."""
        for line in self.lines(doubtful=True):
            warnings.warn(line, UserWarning, stacklevel=3)

    def to_json(self) -> dict[str, dict[str, int]]:
        """Outcome -> reason -> how many rows."""
        return {
            outcome: {reason: len(rows) for reason, rows in reasons.items()}
            for outcome, reasons in self._rows.items()
        }
