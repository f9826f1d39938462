"""Texts cut into words, in every script: for forms, inference, tasks and metrics alike.

Unicode's rules (UAX 29) but for two of them. Where a script puts no space between words, telling
them takes a dictionary of its language, so each character, with its marks, is a word; and the parts
of "don't" and "3.5" are words of their own, as in most packages that count words.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence

import regex

_HAN = r"\p{Han}"
# Their words are about twice as long in characters as those of Han.
_SYLLABLES = (
    r"\p{Hiragana}\p{Katakana}\u30FC\uFF70\p{Bopomofo}\p{Yi}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
    r"\p{Tibetan}\p{Tai_Le}\p{New_Tai_Lue}\p{Tai_Tham}\p{Tai_Viet}\p{Javanese}\p{Balinese}"
)
_NO_SPACES = _HAN + _SYLLABLES
# Punctuation of these scripts: it stands between words that no space divides.
_WIDE = r"\u3001-\u303F\uFF01-\uFF0F\uFF1A-\uFF20\uFF3B-\uFF40\uFF5B-\uFF65"
_BLANK = r"\s\x1c-\x1f\u200B"

_UNSPACED = regex.compile(rf"[{_NO_SPACES}{_WIDE}]", regex.V1)
_CLUSTER = regex.compile(rf"[{_NO_SPACES}]", regex.V1)
_PARTS = (
    regex.compile(rf"[{_HAN}]", regex.V1),
    regex.compile(rf"(?=[{_SYLLABLES}])\X", regex.V1),
    regex.compile(rf"[^{_BLANK}{_NO_SPACES}{_WIDE}]+", regex.V1),
)
_UNIT = regex.compile(rf"(?=[{_NO_SPACES}])\X|[{_WIDE}]|[^{_BLANK}{_NO_SPACES}{_WIDE}]+", regex.V1)
# Runs of ! and ?, and emoticons such as :-) and <3.
_MARKS = r"[!?]+|[:;=8]['-]?[()dpo/\\|*]|<3"


def _word(letters: str) -> str:
    """Of scripts without spaces a character; of others a run of letters and their marks; emoji and
    other pictures, of which one may be several characters, and signs such as € and °."""
    return (
        rf"(?=[{_NO_SPACES}])\X"
        rf"|[[\p{{L}}\p{{N}}\p{{M}}\u200C\u200D{letters}]--[{_NO_SPACES}]]+"
        r"|(?=[\p{Extended_Pictographic}\p{Regional_Indicator}[\p{S}--\p{ASCII}]])\X"
    )


_WORDS = {
    False: regex.compile(_word(""), regex.V1),
    True: regex.compile(f"{_word('_')}|{_MARKS}", regex.V1),
}
# The same for texts of ASCII, several times as fast.
_ASCII_WORDS = {False: re.compile("[a-z0-9]+"), True: re.compile(rf"\w+|{_MARKS}")}

# What has no looks of its own: soft hyphens, marks of direction, how an emoji is to be shown.
_UNSEEN = regex.compile(
    r"[[\p{Default_Ignorable_Code_Point}]--[\u200C\u200D\U000E0020-\U000E007F]]", regex.V1
)
_MARKS_WIDE = str.maketrans("！？", "!?")

_EDGES = ".,;:!?'\"()[]{}…“”‘’«»„‹›¿¡、。，；：！？（）「」『』《》【】"
_SIGNED = regex.compile(
    r"[+#$%&*/<=>@\\^|~`\p{Sc}\p{Sm}°]|\d[.,:-]\d|(?<!\w)-|(?<=\w)-(?!\w)", regex.V1
)
# Longer pieces with signs, such as links, hardly ever come twice.
_LONGEST = 24


def split(text: str) -> list[str]:
    """The pieces that can be labelled one by one, as they stand: nothing but white space is lost.

    Pieces between spaces; of scripts that put none between words (Chinese, Japanese, Thai, ...)
    every character with its marks, and their punctuation.
    """
    return _UNIT.findall(text) if _has_unspaced(text) else text.split()


def replaced(text: str, pieces: Iterable[str]) -> str:
    """A text with other pieces in place of those that `split` finds; what is between them stays."""
    others = iter(pieces)
    if _has_unspaced(text):
        return str(_UNIT.sub(lambda _: next(others), text))
    return re.sub(r"\S+", lambda _: next(others), text)


def joined(pieces: Sequence[str]) -> str:
    """Pieces as a line of text, with spaces where their scripts have them."""
    line = ""
    for piece in pieces:
        alone = not line or _UNSPACED.match(line[-1]) or _UNSPACED.match(piece)
        line += piece if alone else f" {piece}"
    return line


def count(text: str) -> int:
    """About how many words a text has: `split`, but two characters of Han or four of other scripts
    without spaces count as one; at least 1 unless it is blank."""
    if not _has_unspaced(text):
        return len(text.split())
    han, syllables, spaced = (len(part.findall(text)) for part in _PARTS)
    return max(int(spaced + han / 2 + syllables / 4), min(1, len(text.strip())))


def _has_unspaced(text: str) -> bool:
    return not text.isascii() and _UNSPACED.search(text) is not None


def is_unspaced(piece: str) -> bool:
    """Whether a piece is a character of a script that puts no spaces between words."""
    return _CLUSTER.match(piece) is not None


def normal(text: str) -> str:
    """In lower case, composed (NFC), without characters that nobody sees."""
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFC", _UNSEEN.sub("", text).lower())


def words(text: str, *, marks: bool = False) -> list[str]:
    """What texts are compared by: their words in lower case, without punctuation.

    ASCII texts fall into the same words as the package rouge-score makes of them.

    Args:
        marks: with runs of ! and ? and emoticons; and with _ as a letter, as in Python's `\\w`.
    """
    if text.isascii():
        return _ASCII_WORDS[marks].findall(text.lower())
    return list(_WORDS[marks].findall(normal(text).translate(_MARKS_WIDE)))


def signed(text: str) -> list[str]:
    """The short pieces whose signs say something, in lower case: c++, c#, -5, 50%, 3.5, a/b.

    Not ~ alone, which stands for a word that was left out.
    """
    if not _SIGNED.search(text):
        return []
    pieces = (_bare(piece) for piece in split(normal(text)) if _SIGNED.search(piece))
    return [p for p in pieces if len(p) <= _LONGEST and p.strip("~") and _SIGNED.search(p)]


def _bare(piece: str) -> str:
    """Without the punctuation around it, but with the sign of a number and of a grade (A-)."""
    piece = piece.strip(_EDGES).replace("\N{MINUS SIGN}", "-")
    if piece.startswith("-") and not piece[1:].lstrip("-.,$€£¥")[:1].isdigit():
        piece = piece.lstrip("-")
    if piece.endswith("-") and len(piece) > 3:
        piece = piece.rstrip("-")
    return piece.strip(_EDGES)
