"""Words, their shapes and their hashes: equal in every process, learned from nothing."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from polymodal.base import words as _words
from polymodal.base.errors import UserError

# Ids lie in [1, SPACE): exact in float32, and 0 is left for "none".
SPACE = 2**22
# Shape ids lie in [1, SHAPES).
SHAPES = 1024

_URL = re.compile(r"(https?://|www\.)\S+$", re.IGNORECASE)
_USER = re.compile(r"@\w+$")


def check_least(option: str, value: int, least: int) -> None:
    """UserError if an option's number is too small to mean anything."""
    if value < least:
        raise UserError(f"{option}={value} is too small", expected=f"{least} or more")


def identity(text: str) -> int:
    """The id of a string, in [1, SPACE)."""
    return 1 + zlib.crc32(text.encode("utf-8", "surrogatepass")) % (SPACE - 1)


def split(cell: Any) -> list[str]:
    """A text cell's words: a string is cut by `base.words.split`, a list is taken as it is.

    Raises:
        UserError: the cell is neither.
    """
    if isinstance(cell, str):
        return _words.split(cell)
    words = list(cell) if isinstance(cell, (list, tuple)) else [cell]
    for word in words:
        if not isinstance(word, str):
            raise UserError(
                "A text cell is not text",
                expected="a string, or a list of words",
                got=f"{type(word).__name__} {word!r:.60}",
                do="give the column its real kind, for example `kind COLUMN=number`",
            )
    return words


@lru_cache(maxsize=65536)
def word(text: str) -> int:
    """The id of a word in lower case; links share one id, and so do @names."""
    if _URL.match(text):
        return identity("w:<url>")
    if _USER.match(text):
        return identity("w:<user>")
    return identity("w:" + _words.normal(text))


@lru_cache(maxsize=65536)
def shape(text: str) -> int:
    """The id of a word's looks: capitals, digits, marks, runs of one sort cut short.

    "London" and "Xerox" share one, as do "USA" and "NATO", "10" and "2024", any two links.
    """
    if _URL.match(text):
        return 1 + zlib.crc32(b"<url>") % (SHAPES - 1)
    looks: list[str] = []
    for character in text:
        sort = _sort(character)
        # One capital tells a name, two or more an acronym; other runs say nothing by their length.
        longest = 2 if sort == "X" else 1
        if looks[-longest:] != [sort] * longest:
            looks.append(sort)
    return 1 + zlib.crc32("".join(looks[:8]).encode()) % (SHAPES - 1)


@lru_cache(maxsize=65536)
def subwords(text: str, count: int) -> tuple[int, ...]:
    """The ids of a word's beginnings, endings and inner trigrams, `count` at most, in that order.

    In lower case, since `shape` holds the capitals. Links and @names have none: their letters say
    little, and there are many of them.
    """
    if _URL.match(text) or _USER.match(text):
        return ()
    return tuple(
        identity(part) for part, _ in zip(_parts(_words.normal(text)), range(count), strict=False)
    )


def _parts(lower: str) -> Iterator[str]:
    for length in (3, 2, 4, 1):
        if len(lower) >= length:
            yield "p:" + lower[:length]
            yield "s:" + lower[-length:]
    for start in range(1, len(lower) - 3):
        yield "i:" + lower[start : start + 3]


def _sort(character: str) -> str:
    if character.isupper():
        return "X"
    if character.islower():
        return "x"
    if character.isdigit():
        return "d"
    if character.isalpha():
        return "a"
    return character if character.isascii() else "o"
