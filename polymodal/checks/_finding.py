"""One finding about a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One thing to know.

    Attributes:
        severity: "error": training or measuring will fail; "warning": figures may not mean what
            they seem to; "info": worth knowing.
        what: a sentence, with the count.
        count: of rows, classes or cells.
        example: one of them, in words, or "".
        advice: what to do, or "".
    """

    severity: str
    what: str
    count: int
    example: str = ""
    advice: str = ""

    @classmethod
    def unreadable(cls, what: str, reasons: Sequence[str], max_bad_rows: int) -> Finding:
        """Cells that cannot be read: an error, unless so many may count as missing."""
        if len(reasons) <= max_bad_rows:
            return cls("warning", what, len(reasons), reasons[0], "They count as missing")
        advice = f"Mend or empty them, or take them as missing: `max_bad_rows {len(reasons)}`"
        return cls("error", what, len(reasons), reasons[0], advice)
