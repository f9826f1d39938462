"""What people and programs write where they know nothing, in small letters."""

from __future__ import annotations

# What programs write where there is nothing, and nobody else writes. "NA" may be a name: the column
# decides (`table.reading`).
MARKS = ("", "<NA>", "#N/A", "#N/A N/A", "NaT", "\\N", "(null)")

# What programs write. In a list of numbers, and as all that a column holds, these are no values.
PROGRAMS = frozenset({"nan", "na", "n/a", "null", "none", "?", "-"})

# What people write too. In a column of numbers all of these are missing; elsewhere "None" and "NA"
# may be names.
_PEOPLE = """
?? ??? -- --- . .. ... * / \\ _ n.a. n.a n/d nd nat nil tbd tba tbc
missing unknown unk unbekannt inconnu inconnue desconocido empty blank undefined unavailable error
err invalid k.a. ka keine s/o s.o. n.v.t. nvt н/д 无 無 未知 不明 不详 不適用 不适用 なし 없음 미상
… — – ——— · // nodata no_data not_available onbekend okänd ukendt ukjent desconhecido sconosciuto
bilinmiyor неизвестно 0000-00-00 00.00.0000 00/00/0000 00-00-0000
#value! #ref! #div/0! #name? #num! #null! #error!
"""
_PHRASES = (
    "not available,not applicable,not known,no data,no answer,no value,not reported,not measured,"
    "not recorded,not provided,not specified,not stated,0000-00-00 00:00:00,keine angabe,"
    "k. a.,n. a.,"
    "nicht bekannt,нет данных,sin datos,non renseigné,não informado,brak danych,غير معروف"
)
WORDS = PROGRAMS | {*_PEOPLE.split(), *_PHRASES.split(",")}


def is_word(text: str) -> bool:
    """Whether a cell's text is one of the words for nothing."""
    return text.strip().lower() in WORDS
