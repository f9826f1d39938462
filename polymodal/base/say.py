"""What is printed, whatever a table's names hold and wherever it goes."""

from __future__ import annotations

import sys
from typing import TextIO

from polymodal.base.spelling import inert


def say(text: str = "", stream: TextIO | None = None) -> None:
    """Print a line, on standard output unless told, with nothing in it that a terminal obeys."""
    print(inert(text), file=stream or sys.stdout)
