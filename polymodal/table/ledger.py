"""The ledger: what became of every row, and why."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

# Truncated and incomplete rows are among those used: without a cell's end, without a cell.
OUTCOMES = ("used", "truncated", "incomplete", "skipped")


class Ledger:
    """A table's rows by outcome and reason, so that none is lost in silence."""

    def __init__(self) -> None:
        self._rows: dict[str, dict[str, np.ndarray[Any, Any]]] = {name: {} for name in OUTCOMES}

    def add(self, outcome: str, reason: str, rows: Sequence[int] | np.ndarray[Any, Any]) -> None:
        """Add rows; one that is there already, as from another form of its column, counts once.

        Args:
            outcome: one of OUTCOMES; a KeyError otherwise.
            reason: in words, with the table and the column where there is one.
            rows: their numbers; without any nothing is noted.
        """
        reasons = self._rows[outcome]
        if len(rows):
            reasons[reason] = np.union1d(reasons.get(reason, np.arange(0)), rows)

    def to_json(self) -> dict[str, dict[str, int]]:
        """Outcome -> reason -> how many rows."""
        return {
            outcome: {reason: len(rows) for reason, rows in reasons.items()}
            for outcome, reasons in self._rows.items()
        }
