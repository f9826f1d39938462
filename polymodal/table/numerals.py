"""Numbers as people write them: "1.234,50 €", "(0.12)", "−3", "69k", "< 5 mg", "120/80", "10–20".

What cannot be told from one cell, whether "6,174" is six or six thousand, the column decides.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable
from functools import lru_cache

from polymodal.table.units import part_of, unit_of, zero_of

# What may stand before a number without changing it. "AB1001" and "CA-12" are names.
_ABOUT = re.compile(
    r"[<>≤≥~≈≃±=]+\s*|(?:[Cc]a?\.|[Aa]pprox\.)\s*"
    r"|(?:ca|[Cc]irca|[Aa]pprox|[Aa]bout|[Aa]round|[Ee]twa|[Rr]und|[Uu]p to)\s+"
)
# Longer texts are neither numbers nor dates.
LONGEST = 60
_MARKS = str.maketrans(
    dict.fromkeys("\u2212\u2010\u2011\u2012\u2013\u2014\ufe63\uff0d", "-")
    | dict.fromkeys("\u00a0\u2007\u2008\u2009\u200a\u202f\u2002\u2003\u3000\t", " ")
    | dict.fromkeys("\u200b\u200e\u200f\ufeff\u2060\u2066\u2069", None)
    | {"’": "'", "ʼ": "'", "`": "'", "´": "'", "′": "'", "″": '"', "٫": ".", "٬": ",", "٪": "%"}
    | {"℃": "°C", "℉": "°F", "μ": "µ", "×": "x", "✕": "x", "⁄": "/", "∕": "/"}
)
_CORE = r"(?:\d[\d.,' ]*\d|\d)(?:[.,](?!\d))?|[.,]\d+"
_SHAPE = re.compile(
    rf"(?P<sign>[-+]?)\s*(?P<before>[^\d\s.,+-][^\d.,+-]{{0,7}}?\.?)?\s*(?P<inner>[-+]?)\s*"
    rf"(?P<core>{_CORE})(?P<power>(?:[eE]|[dD](?=[-+]\d)|\s?x\s?10\s?(?:\^|(?=[-+]))|\s?\*\s?10\^)[-+]?\d+)?"
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
    r"(?=.*\d\s*[a-zA-Z])"
    r"(?:(\d+(?:[.,]\d+)?)\s*(?:d|days?|tage?)\s*,?\s*)?"
    r"(?:(\d+(?:[.,]\d+)?)\s*(?:h|hrs?|hours?|std\.?)\s*,?\s*)?"
    r"(?:(\d+(?:[.,]\d+)?)\s*(?:m|min|mins|minutes?)\s*,?\s*)?"
    r"(?:(\d+(?:[.,]\d+)?)\s*(?:s|sec|secs|seconds?)\s*)?",
    re.I,
)
# ISO 8601; years and months, M before T, have no fixed length.
_PART = r"(?:(\d+(?:[.,]\d+)?){})?"
_ISO_SPAN = re.compile("P" + _PART.format("D") + "(?:T" + "".join(map(_PART.format, "HMS")) + ")?")
# Numbers in a row in one cell: blood pressure, sizes, ranges, coordinates, scores.
_JOINTS = re.compile(
    r"\s*(?:/|\s+x\s+|(?<=\d)x(?=\d)|\s-\s|(?<=[\d%a-z€$])-(?=[\d.$€£])|\.\.+|\bto\b|\bbis\b|"
    r"\band\b|\bout of\b|\bof\b|;|,\s+|:|±|\+/?-|(?<=[\d%a-z€$])\s?~)\s*"
)
# A range rises; what does not is a telephone or a part number.
_RANGE = re.compile(r"[\d%a-z€$]\s*[-~]\s*[\d.$€£]")
_POINT = re.compile(r"(?:POINT\s*)?[(\[](.*)[)\]]", re.I)
# "12,- €" and "CHF 12.—": no cents.
_NO_CENTS = re.compile(r"(?<=\d)[.,]\s?-{1,2}(?![-\s]*\d)")
# "5 ft 11 in", "1m80", "3 years, 4 months"; hours and less are lengths of time (`span`).
_COMPOUND = re.compile(
    r"(?P<a>\d+)\s*(?P<u>'|[a-z]{1,6})\.?,?\s*(?:and\s+)?"
    r"(?P<b>\d+(?:[.,]\d+)?)\s*(?P<v>\"|''|[a-z]{1,6})?\.?",
    re.I,
)
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
    match = _SHAPE.fullmatch(tidy(text).strip("() ")) if len(text) <= LONGEST else None
    if match is None or amount(match["core"], ".") is None:
        return None
    digits = match["core"]
    dots, commas = digits.count("."), digits.count(",")
    if dots and commas:
        return max(".,", key=digits.rfind)
    if dots + commas != 1:
        return None if dots + commas == 0 else "," if dots else "."
    mark = "." if dots else ","
    head, _, tail = digits.partition(mark)
    return mark if len(tail) != 3 or len(head.lstrip()) > 3 or head.startswith("0") else None


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
    if len(text) > LONGEST or not any(c.isdecimal() for c in text):
        return None
    text = _bare(text)
    negative = text.startswith("(") and text.endswith(")")
    match = _SHAPE.fullmatch(text[1:-1].strip() if negative else text)
    if match is None:
        return _odd(text, factor)
    before, after, power = match["before"] or "", match["after"] or "", match["power"] or ""
    if match["sign"] and match["inner"]:
        return None
    minus = "-" in (match["sign"], match["inner"])
    if after.strip() in ("-", "DR"):  # a debit
        after, minus = "", not minus
    unit = unit_of(before, after)
    if unit is None:
        return _odd(text, factor)
    value = amount(match["core"], decimal)
    worth = factor(unit)
    if value is None or worth is None:
        return _odd(text, factor)
    exponent = int(re.findall(r"[-+]?\d+", power)[-1]) if power else 0
    if abs(exponent) > 300:  # beyond what a float holds: a name such as 7e4526b
        return None
    value *= worth * 10.0**exponent
    if not math.isfinite(value):
        return None
    return (-value if minus or negative else value) + zero_of(unit, worth)


def _bare(text: str) -> str:
    """A cell without what says that its number is not exact."""
    text = _NO_CENTS.sub("", tidy(text))
    about = _ABOUT.match(text)
    return text[about.end() :] if about else text


def _odd(text: str, factor: Callable[[str], float | None]) -> float | None:
    """What is no number with a unit: degrees, or a size in two units."""
    two = _compound(text)
    if two is None:
        return _degrees(text)
    worth = factor(two[0])
    return None if worth is None else two[1] * worth


def _compound(text: str) -> tuple[str, float] | None:
    """A size in two units as a number of the first one, with its name; None if it is none."""
    match = _COMPOUND.fullmatch(text.strip())
    if match is None:
        return None
    first, second = match["u"].lower(), (match["v"] or "").lower()
    first, second = ("ft", "in") if first == "'" and second in ("", '"', "''") else (first, second)
    first = {"st": "stone", "yrs": "years", "yr": "years"}.get(first, first)
    if match["u"] == "m" and not second and len(match["b"]) == 2:
        second = "cm"
    share = part_of(second, first)
    if share is None:
        return None
    return first, float(match["a"]) + float(match["b"].replace(",", ".")) * share


def unit(text: str) -> str | None:
    """The unit around a cell's number; None if the cell is no number."""
    if plain(text) is not None:
        return ""
    if len(text) > LONGEST:
        return None
    text = _bare(text)
    match = _SHAPE.fullmatch(text.strip("() "))
    two = _compound(text) if match is None or match["after"] else None
    if two is not None:
        return two[0]
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
    if len(text) > LONGEST:
        return None
    text = tidy(text)
    sign = -1.0 if text.startswith("-") else 1.0
    text = text.lstrip("+-").strip()
    match = _SPAN.fullmatch(text)
    if match is not None:
        days, first, second, third = (float((p or "0").replace(",", ".")) for p in match.groups())
        if match[4] is None and match[1] is None:
            return sign * (first * 60 + second) * 60
        return sign * (days * 86400 + first * 3600 + second * 60 + third)
    iso = text.startswith("P")
    match = (_ISO_SPAN if iso else _LONG_SPAN).fullmatch(text)
    if match is None or sum(part is not None for part in match.groups()) < 2 - iso:
        return None
    scales = (86400, 3600, 60, 1)
    found = (
        float((p or "0").replace(",", ".")) * s for p, s in zip(match.groups(), scales, strict=True)
    )
    return sign * sum(found)


def several(text: str, decimal: str, factor: Callable[[str], float | None]) -> list[float] | None:
    """The numbers in a row in one cell, two to MOST_PARTS; None if there are none such."""
    found = []
    for piece in pieces(text):
        compass = _COMPASS.fullmatch(piece.strip())
        value = one(compass[1] if compass else piece, decimal, factor)
        if value is None:
            return None
        found.append(-value if compass and compass[2] in "SWsw" else value)
    if (
        found
        and _RANGE.search(tidy(text))
        and (len(found) > 2 or (len(found) == 2 and found[0] > found[1]))
    ):
        return None
    return found or None


def unit_of_piece(text: str) -> str:
    """The unit of one of several numbers; a point of the compass is none."""
    return "" if _COMPASS.fullmatch(text.strip()) else unit(text) or ""


def pieces(text: str) -> list[str]:
    """What stands between the joints of a cell; [] if that may be no numbers in a row."""
    if len(text) > 80:
        return []
    text = tidy(text)
    bare = _POINT.fullmatch(text)
    inside = bare[1].strip() if bare is not None else text
    found = _JOINTS.split(inside)
    if len(found) == 1 or ";" in inside:
        # Whole numbers so parted are a series or a set.
        if not re.search(r"\d[.,]\d", inside):
            return []
        if len(found) == 1:
            alone = inside.count(",") == 1 and "." in inside
            found = inside.split(",") if alone else inside.split()
    return found if 2 <= len(found) <= MOST_PARTS else []
