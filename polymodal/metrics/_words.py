"""Texts cut into words for measures that compare them."""

from __future__ import annotations

import unicodedata


def spaced(text: str, kept: str = "") -> str:
    """The text with a blank for every character that is part of no word.

    Letters, digits and the marks that belong to letters stay (without the last, words of many
    Indian scripts would fall apart), and so do the characters `kept`.
    """
    return "".join(c if c.isalnum() or c in kept or _is_mark(c) else " " for c in text)


def words(text: str) -> list[str]:
    """The words of a text in lower case, without punctuation.

    ASCII texts fall into the same words as the package rouge-score makes of them.
    """
    return spaced(text.lower()).split()


def _is_mark(character: str) -> bool:
    return unicodedata.category(character).startswith("M")
