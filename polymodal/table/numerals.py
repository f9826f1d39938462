"""Numbers as people write them: "1.234,50 €", "(0.12)", "−3", "69k", "< 5 mg", "120/80", "10–20".

What cannot be told from one cell, whether "6,174" is six or six thousand, the column decides.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable
from functools import lru_cache

# What a unit is in the first one of its family.
FAMILIES: tuple[dict[str, float], ...] = (
    {"kg": 1, "g": 1e-3, "mg": 1e-6, "µg": 1e-9, "ug": 1e-9, "t": 1e3, "lb": 0.45359237}
    | {"lbs": 0.45359237, "oz": 0.028349523125},
    {"m": 1, "cm": 1e-2, "mm": 1e-3, "µm": 1e-6, "um": 1e-6, "km": 1e3, "in": 0.0254}
    | {"inch": 0.0254, "inches": 0.0254, '"': 0.0254, "ft": 0.3048, "feet": 0.3048, "mi": 1609.344}
    | {"miles": 1609.344, "mile": 1609.344, "yd": 0.9144},
    {"s": 1, "sec": 1, "secs": 1, "second": 1, "seconds": 1, "ms": 1e-3, "min": 60, "mins": 60}
    | {"minute": 60, "minutes": 60, "h": 3600, "hr": 3600, "hrs": 3600, "hour": 3600}
    | {"hours": 3600, "d": 86400, "day": 86400, "days": 86400, "week": 604800, "weeks": 604800}
    | {"month": 2629746, "months": 2629746, "year": 31556952, "years": 31556952, "yr": 31556952},
    {"l": 1, "ml": 1e-3, "cl": 1e-2, "dl": 0.1, "hl": 100},
    {"b": 1, "kb": 1e3, "mb": 1e6, "gb": 1e9, "tb": 1e12, "kib": 2**10, "mib": 2**20}
    | {"gib": 2**30, "tib": 2**40},
    {"w": 1, "kw": 1e3, "mw": 1e6, "gw": 1e9},
    {"hz": 1, "khz": 1e3, "mhz": 1e6, "ghz": 1e9},
    {"pa": 1, "hpa": 100, "kpa": 1e3, "mpa": 1e6, "bar": 1e5},
    {"v": 1, "mv": 1e-3, "kv": 1e3},
    {"m²": 1, "m2": 1, "sqm": 1, "qm": 1, "ha": 1e4, "km²": 1e6, "ft²": 0.09290304}
    | {"sqft": 0.09290304},
)
# Words that multiply. One letter alone may be a unit, which the column decides.
_TIMES = (
    {"k": 1e3, "tsd": 1e3, "thousand": 1e3, "千": 1e3, "천": 1e3, "tys": 1e3, "тыс": 1e3}
    | {"m": 1e6, "mn": 1e6, "mio": 1e6, "mm": 1e6, "million": 1e6, "millions": 1e6, "mil": 1e6}
    | {"млн": 1e6, "万": 1e4, "萬": 1e4, "만": 1e4, "lakh": 1e5, "lac": 1e5, "crore": 1e7}
    | {"cr": 1e7, "亿": 1e8, "億": 1e8, "억": 1e8, "b": 1e9, "bn": 1e9, "mrd": 1e9}
    | {"billion": 1e9, "billions": 1e9, "млрд": 1e9, "tn": 1e12, "trillion": 1e12}
)
# Those that are units of length as well count as factors only beside others of them.
_SHARED = frozenset({"m", "mm", "b"})
# Money in words; signs of money are those that Unicode calls so.
_CURRENCIES = (
    "usd eur gbp jpy chf cad aud nzd cny rmb inr rs krw brl r$ us$ a$ c$ hk$ mxn sek nok dkk kr "
    "pln zł czk kč huf ft ron lei try tl rub руб р uah грн zar ils thb sgd hkd twd nt$ idr rp myr "
    "rm php vnd ngn egp aed sar euro euros dollar dollars cent cents yen 円 元 원"
)
_MONEY = frozenset(_CURRENCIES.split())
# What may stand before a number without changing it.
_ABOUT = re.compile(
    r"(?:[<>≤≥~≈≃±=]+|ca\.?|c\.|circa|approx\.?|about|around|etwa|rund|up to|ab)\s*"
)
_MARKS = str.maketrans(
    dict.fromkeys("\u2212\u2010\u2011\u2012\u2013\u2014\ufe63\uff0d", "-")
    | dict.fromkeys("\u00a0\u2007\u2008\u2009\u200a\u202f\u2002\u2003\u3000\t", " ")
    | dict.fromkeys("\u200b\u200e\u200f\ufeff\u2060\u2066\u2069", None)
    | {"’": "'", "ʼ": "'", "`": "'", "´": "'", "′": "'", "″": '"', "٫": ".", "٬": ",", "٪": "%"}
    | {"μ": "µ", "×": "x", "✕": "x", "⁄": "/", "∕": "/"}
)
_CORE = r"(?:\d[\d.,' ]*\d|\d)(?:[.,](?!\d))?|[.,]\d+"
_SHAPE = re.compile(
    rf"(?P<sign>[-+]?)\s*(?P<before>[^\d\s.,+-][^\d.,+-]{{0,7}}?\.?)?\s*(?P<inner>[-+]?)\s*"
    rf"(?P<core>{_CORE})(?P<power>(?:[eE]|\s?x\s?10\s?\^?|\s?\*\s?10\^)[-+]?\d+)?"
    rf"\s*(?P<after>[^\d\s+-][^\d]{{0,24}}|\+|-)?"
)
_GROUPED = re.compile(r"\d{1,3}(?:([.,' ])\d{3})(?:\1\d{3})*")
_INDIAN = re.compile(r"\d{1,2}(?:,\d{2})*,\d{3}")
_DEGREES = re.compile(
    r"(\d{1,3}(?:[.,]\d+)?)\s*°\s*(?:(\d{1,2}(?:[.,]\d+)?)\s*['m]\s*)?"
    r"(?:(\d{1,2}(?:[.,]\d+)?)\s*(?:\"|''|s)\s*)?([NSEWO])?",
    re.I,
)
_SPAN = re.compile(r"(?:(\d+)\s*(?:d|days?),?\s*)?(\d{1,4}):([0-5]\d)(?::([0-5]\d(?:[.,]\d+)?))?")
_LONG_SPAN = re.compile(
    r"P?T?(?=.*\d\s*[a-zA-Z])"
    r"(?:(\d+(?:[.,]\d+)?)\s*(?:d|days?|tage?)\s*,?\s*T?)?"
    r"(?:(\d+(?:[.,]\d+)?)\s*(?:h|hrs?|hours?|std\.?)\s*,?\s*)?"
    r"(?:(\d+(?:[.,]\d+)?)\s*(?:m|min|mins|minutes?)\s*,?\s*)?"
    r"(?:(\d+(?:[.,]\d+)?)\s*(?:s|sec|secs|seconds?)\s*)?",
    re.I,
)
_ORDINAL = frozenset({"st", "nd", "rd", "th", "º", "ª", "er", "e", "."})
# Numbers in a row in one cell: blood pressure, sizes, ranges, coordinates, scores.
_JOINTS = re.compile(
    r"\s*(?:/|\s+x\s+|(?<=\d)x(?=\d)|\s-\s|(?<=[\d%a-z€$])-(?=[\d.$€£])|\.\.+|\bto\b|\bbis\b|"
    r"\band\b|\bout of\b|\bof\b|;|,\s+|:|±|\+/-)\s*"
)
# A range rises; what does not is a telephone or a part number.
_RANGE = re.compile(r"[\d%a-z€$]\s*-\s*[\d.$€£]")
_POINT = re.compile(r"(?:POINT\s*)?[(\[](.*)[)\]]", re.I)
_COMPASS = re.compile(r"([\d.,]+)\s*°?\s*([NSEWnsew])")
MOST_PARTS = 4


def plain(text: str) -> float | None:
    """A number as computers write it; None for anything else. "inf" is infinite."""
    try:
        # Python reads "1_000"; nobody else's tables mean a number by it.
        return float(text) if "_" not in text else None
    except ValueError:
        return None


@lru_cache(4096)
def tidy(text: str) -> str:
    """One sort of digits, blanks, minus signs and apostrophes."""
    text = text.translate(_MARKS)
    if not text.isascii():
        digits = [
            str(unicodedata.decimal(c)) if c.isdecimal() else unicodedata.normalize("NFKC", c)
            if "\uff00" <= c <= "\uffef" else c
            for c in text
        ]  # fmt: skip
        text = "".join(digits)
    return text.strip()


def amount(digits: str, decimal: str) -> float | None:
    """Digits with marks between them; `decimal` decides only where "6,174" could be either."""
    digits = digits.strip().rstrip(".,") if digits[-1:] in ".," else digits.strip()
    if digits.isdecimal():
        return float(digits)
    kinds = [mark for mark in ".,' " if mark in digits]
    if len(kinds) > 2:
        return None
    if len(kinds) == 2:
        last = max(kinds, key=digits.rfind)
        head, _, tail = digits.rpartition(last)
        if last not in ".," or last in head or not tail.isdecimal():
            return None
        whole = grouped(head)
        return None if whole is None else whole + float(f"0.{tail}")
    mark = kinds[0]
    if mark in "' ":
        return grouped(digits)
    if digits.count(mark) > 1:
        return grouped(digits)
    head, _, tail = digits.partition(mark)
    if mark != decimal and _GROUPED.fullmatch(digits) and not head.startswith("0"):
        return float(head + tail)
    return float(f"{head or 0}.{tail or 0}")


def grouped(digits: str) -> float | None:
    """Whole digits in groups of three, or as in India; None if they are not."""
    if digits.isdecimal():
        return float(digits)
    if digits.startswith("0"):  # a code or a telephone number
        return None
    if _GROUPED.fullmatch(digits) or _INDIAN.fullmatch(digits):
        return float(re.sub(r"\D", "", digits))
    return None


def marks(text: str) -> str | None:
    """The decimal mark that a cell shows beyond doubt, or None."""
    match = _SHAPE.fullmatch(tidy(text).strip("() "))
    if match is None:
        return None
    digits = match["core"]
    dots, commas = digits.count("."), digits.count(",")
    if amount(digits, ".") is None:
        return None
    if dots and commas:
        return max(".,", key=digits.rfind)
    if dots + commas != 1:
        return None if dots + commas == 0 else "," if dots else "."
    mark = "." if dots else ","
    head, _, tail = digits.partition(mark)
    return mark if len(tail) != 3 or len(head.lstrip()) > 3 or head.startswith("0") else None


class Units:
    """What stands around numbers of one column: unit -> factor, each in the commonest one.

    Args:
        factors: as saved; empty for a column of bare numbers.
        open: whether a unit that is not there may come in, as while a column is looked at.
    """

    def __init__(self, factors: dict[str, float], open: bool = False) -> None:
        self.factors, self.open = factors, open

    def factor(self, unit: str) -> float | None:
        if not unit or unit in self.factors:
            return self.factors.get(unit, 1.0)
        if self.open:
            return 1.0
        if unit in _MONEY or _is_money(unit) or unit in ("%", "‰"):
            return 1.0 if set(self.factors) <= {""} or _alike(unit, self.factors) else None
        for family in (*FAMILIES, _TIMES):
            known = next((u for u in self.factors if u in family), None)
            if unit in family and (known is not None or (family is _TIMES and not self.factors)):
                own = family[known] / self.factors[known] if known is not None else 1.0
                return family[unit] / own
        return None


def _alike(unit: str, factors: dict[str, float]) -> bool:
    return all(u == unit or u in _MONEY or _is_money(u) for u in factors if u)


def _is_money(unit: str) -> bool:
    return any(unicodedata.category(c) == "Sc" for c in unit)


def unit_of(before: str, after: str) -> str | None:
    """What stands around a number as one unit, "" if it changes nothing; None if no unit."""
    before, after = before.strip().rstrip(".").lower(), after.strip()
    if after == "+" or after in ("CR", "DR"):
        after = ""
    lowered = after.rstrip(".").lower().strip()
    if before and not (before in _MONEY or _is_money(before)):
        return None
    if len(lowered.split()) > 3 or (lowered and not re.fullmatch(r"[^\W\d_]*|.{1,24}", lowered)):
        return None
    if lowered in _ORDINAL:
        lowered = ""
    if before and lowered and lowered not in _TIMES:
        # "US$ 5 per kg": the money is the same everywhere.
        return lowered if not (lowered in _MONEY or _is_money(lowered)) else before
    return lowered or before


def one(text: str, decimal: str, factor: Callable[[str], float | None]) -> float | None:
    """The one number that a cell means; None if it is none or infinite.

    Args:
        decimal: mark of the column.
        factor: what a unit ("" where there is none) is worth; None: it is no unit here.
    """
    found = plain(text)
    if found is not None:
        # A column of decimal commas writes thousands as 1.234.
        if decimal == "," and re.fullmatch(r"\s*-?[1-9]\d{0,2}\.\d{3}\s*", text):
            return float(text.replace(".", ""))
        return found if math.isfinite(found) else None
    text = tidy(text)
    if len(text) > 60 or not any(c.isdecimal() for c in text):
        return None
    text = _ABOUT.sub("", text.lower() if text[:1].isalpha() else text, count=1)
    negative = text.startswith("(") and text.endswith(")")
    match = _SHAPE.fullmatch(text[1:-1].strip() if negative else text)
    if match is None:
        return _degrees(text)
    before, after, power = match["before"] or "", match["after"] or "", match["power"] or ""
    if match["sign"] and match["inner"]:
        return None
    minus = "-" in (match["sign"], match["inner"])
    if after.strip() == "-":
        after, minus = "", not minus
    unit = unit_of(before, after)
    if unit is None:
        return _degrees(text)
    value = amount(match["core"], decimal)
    worth = factor(unit)
    if value is None or worth is None:
        return _degrees(text)
    value *= worth * (
        10.0 ** int(re.sub(r"^\s*(?:[eE]|\D?\s?10\s?\^?)", "", power)) if power else 1
    )
    return -value if minus or negative else value


def unit(text: str) -> str | None:
    """The unit around a cell's number; None if the cell is no number."""
    if plain(text) is not None or _COMPASS.fullmatch(text.strip()):
        return ""
    text = tidy(text)
    text = _ABOUT.sub("", text.lower() if text[:1].isalpha() else text, count=1)
    match = _SHAPE.fullmatch(text.strip("() "))
    if match is None:
        return "" if _degrees(text) is not None else None
    after = match["after"] or ""
    return unit_of(match["before"] or "", "" if after.strip() == "-" else after)


def _degrees(text: str) -> float | None:
    """ "40° 26′ 46″ N" in degrees."""
    match = _DEGREES.fullmatch(text.strip())
    if match is None:
        return None
    parts = [float(part.replace(",", ".")) if part else 0.0 for part in match.groups()[:3]]
    value = parts[0] + parts[1] / 60 + parts[2] / 3600
    return -value if (match[4] or "").upper() in ("S", "W") else value


def span(text: str) -> float | None:
    """A length of time as "36:15:00", "2 days, 03:04:05" or "1h 30min", in seconds."""
    text = tidy(text)
    sign = -1.0 if text.startswith("-") else 1.0
    text = text.lstrip("+-").strip()
    match = _SPAN.fullmatch(text)
    if match is not None:
        days, first, second, third = (float((p or "0").replace(",", ".")) for p in match.groups())
        if match[4] is None and match[1] is None:
            return sign * (first * 60 + second) * 60
        return sign * (days * 86400 + first * 3600 + second * 60 + third)
    match = _LONG_SPAN.fullmatch(text)
    if match is None or sum(part is not None for part in match.groups()) < (text[:1] != "P") + 1:
        return None
    scales = (86400, 3600, 60, 1)
    found = (
        float((p or "0").replace(",", ".")) * s for p, s in zip(match.groups(), scales, strict=True)
    )
    return sign * sum(found)


def several(text: str, decimal: str, factor: Callable[[str], float | None]) -> list[float] | None:
    """The numbers in a row in one cell, two to MOST_PARTS; None if there are none such."""
    text = tidy(text)
    found = []
    for piece in pieces(text):
        compass = _COMPASS.fullmatch(piece.strip())
        value = one(compass[1] if compass else piece, decimal, factor)
        if value is None:
            return None
        found.append(-value if compass and compass[2] in "SWsw" else value)
    if _RANGE.search(text) and (len(found) > 2 or (len(found) == 2 and found[0] > found[1])):
        return None
    return found or None


def pieces(text: str) -> list[str]:
    """What stands between the joints of a cell; [] if that may be no numbers in a row."""
    text = tidy(text)
    bare = _POINT.fullmatch(text)
    inside = bare[1].strip() if bare is not None else text
    found = _JOINTS.split(inside) if len(text) <= 80 else []
    if len(found) == 1 or ";" in inside:
        # Whole numbers so parted are a series or a set.
        if not re.search(r"\d[.,]\d", inside):
            return []
        if len(found) == 1:
            alone = inside.count(",") == 1 and "." in inside
            found = inside.split(",") if alone else inside.split()
    return found if 2 <= len(found) <= MOST_PARTS else []


def settled(units: dict[str, int]) -> dict[str, float] | None:
    """Units that occur as factors of the commonest one; None if they do not go together.

    Signs of money and of percent change nothing, nor does one word that all cells have.
    """
    total = sum(units.values())
    known = {*_MONEY, *_TIMES, "%", "‰", *(u for family in FAMILIES for u in family)}
    # A strange word in a cell or two among bare numbers is no unit.
    slips = {u for u, n in units.items() if n <= 0.02 * units.get("", 0) and u not in known}
    named = {u: n for u, n in units.items() if u and (u not in slips or _is_money(u))}
    if not named:
        return {}
    common = max(named, key=named.__getitem__)
    money = [u for u in named if u in _MONEY or _is_money(u)]
    if len(money) == len(named) or set(named) <= {"%", "‰"}:
        return dict.fromkeys(named, 1.0)
    if set(named) <= set(_TIMES) and not (set(named) <= _SHARED and not units.get("")):
        return {u: _TIMES[u] for u in named}
    for family in FAMILIES:
        if set(named) <= set(family):
            return {u: family[u] / family[common] for u in named}
    if len(named) == 1:
        return {common: 1.0}
    rare = sum(named.values()) - named[common]
    # A plural, a spelling: "1 room", "2 rooms".
    stems = {u.rstrip("s.").strip() for u in named}
    if len(stems) == 1 or (rare <= 0.02 * total and len(named) <= 3):
        return dict.fromkeys(named, 1.0)
    return None
