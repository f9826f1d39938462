"""One finding about a table."""

from __future__ import annotations

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
