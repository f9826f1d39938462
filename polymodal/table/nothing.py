"""What people and programs write where they know nothing, in small letters."""

from __future__ import annotations

# What programs write. In a list of numbers, and as all that a column holds, these are no values.
PROGRAMS = frozenset({"nan", "na", "n/a", "null", "none", "?", "-"})

# What people write too. In a column of numbers all of these are missing; elsewhere "None" and "NA"
# may be names.
_PEOPLE = """
?? ??? -- --- . .. ... * / \\ _ n.a. n.a n/d nd nat nil tbd tba tbc
missing unknown unk unbekannt inconnu inconnue desconocido empty blank undefined unavailable error
err invalid k.a. ka keine s/o s.o. n.v.t. nvt н/д 无 未知 不明 なし
#value! #ref! #div/0! #name? #num! #null! #error!
"""
_PHRASES = (
    "not available,not applicable,not known,no data,no answer,no value,not reported,not measured,"
    "keine angabe,k. a.,n. a."
)
WORDS = PROGRAMS | {*_PEOPLE.split(), *_PHRASES.split(",")}


def is_word(text: str) -> bool:
    """Whether a cell's text is one of the words for nothing."""
    return text.strip().lower() in WORDS
