"""The ledger: what became of every row, and why."""

from __future__ import annotations

OUTCOMES = ("used", "truncated", "skipped", "repaired")


class Ledger:
    """Counts rows by outcome and reason, so that none is lost in silence."""

    def __init__(self) -> None:
        self._counts: dict[str, dict[str, int]] = {outcome: {} for outcome in OUTCOMES}

    def count(self, outcome: str, reason: str, rows: int) -> None:
        """Add `rows` rows.

        Args:
            outcome: one of OUTCOMES; a KeyError otherwise.
            reason: in words, with the table and the column where there is one.
            rows: how many; with 0 nothing is noted.
        """
        counts = self._counts[outcome]
        if rows:
            counts[reason] = counts.get(reason, 0) + int(rows)

    def to_json(self) -> dict[str, dict[str, int]]:
        """Outcome -> reason -> rows."""
        return {outcome: dict(counts) for outcome, counts in self._counts.items()}

    def lines(self) -> list[str]:
        """One line a reason, for printing."""
        return [
            f"{outcome:<9} {rows:>8,} rows: {reason}"
            for outcome, counts in self._counts.items()
            for reason, rows in counts.items()
        ]
