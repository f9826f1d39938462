"""How a text is cut into the words that tags label."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from polymodal.base import words

# How a string is cut into words, the first first: tags were mostly made for words between spaces.
CUTS: dict[str, Callable[[str], list[str]]] = {"spaces": str.split, "characters": words.split}


def pieces(cell: Any, cut: str | None) -> Any:
    """A text's cell as the list of its words, where they are other ones than its own kind takes."""
    if cut is None or not isinstance(cell, str):
        return cell
    found = CUTS[cut](cell)
    return cell if found == words.split(cell) == cell.split() else found
