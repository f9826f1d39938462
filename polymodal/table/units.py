"""Units, factors and money beside numbers ("5 kg", "69k", "US$ 5"), and which go together."""

from __future__ import annotations

import re
import unicodedata

# What a unit is in the first one of its family.
FAMILIES: tuple[dict[str, float], ...] = (
    {"kg": 1, "g": 1e-3, "mg": 1e-6, "µg": 1e-9, "ug": 1e-9, "t": 1e3, "lb": 0.45359237}
    | {"lbs": 0.45359237, "oz": 0.028349523125, "stone": 6.35029318},
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
    {"bit": 1, "kbit": 1e3, "mbit": 1e6, "gbit": 1e9, "Kb": 1e3, "Mb": 1e6, "Gb": 1e9, "Tb": 1e12},
    {"w": 1, "mW": 1e-3, "kw": 1e3, "MW": 1e6, "gw": 1e9},
    {"hz": 1, "mHz": 1e-3, "khz": 1e3, "mhz": 1e6, "ghz": 1e9},
    {"pa": 1, "mPa": 1e-3, "hpa": 100, "kpa": 1e3, "MPa": 1e6, "bar": 1e5},
    {"v": 1, "mV": 1e-3, "kv": 1e3, "MV": 1e6},
    {"m²": 1, "m2": 1, "sqm": 1, "qm": 1, "ha": 1e4, "km²": 1e6, "ft²": 0.09290304}
    | {"sqft": 0.09290304},
)
# Words that multiply. One letter alone may be a unit, which the column decides.
_TIMES = (
    {"k": 1e3, "tsd": 1e3, "thousand": 1e3, "千": 1e3, "천": 1e3, "tys": 1e3, "тыс": 1e3}
    | {
        "m": 1e6,
        "M": 1e6,
        "mn": 1e6,
        "mio": 1e6,
        "mm": 1e6,
        "million": 1e6,
        "millions": 1e6,
        "mil": 1e6,
    }
    | {"млн": 1e6, "万": 1e4, "萬": 1e4, "만": 1e4, "lakh": 1e5, "lac": 1e5, "crore": 1e7}
    | {"cr": 1e7, "亿": 1e8, "億": 1e8, "억": 1e8, "b": 1e9, "bn": 1e9, "mrd": 1e9}
    | {"billion": 1e9, "billions": 1e9, "млрд": 1e9, "tn": 1e12, "trillion": 1e12}
)
# Those that are units of length or of bytes as well count as factors only beside others of them.
_SHARED = frozenset({"m", "mm", "b"})
# Read with their capitals, as a milliwatt is no megawatt; all others are read in small letters.
_CASED = frozenset(u for family in (*FAMILIES, _TIMES) for u in family if u != u.lower())
# Money in words; signs of money are those that Unicode calls so.
_CURRENCIES = (
    "usd eur gbp jpy chf cad aud nzd cny rmb inr rs krw brl r$ us$ a$ c$ hk$ mxn sek nok dkk kr "
    "pln zł czk kč huf ft ron lei try tl rub руб р uah грн zar ils thb sgd hkd twd nt$ idr rp myr "
    "rm php vnd ngn egp aed sar euro euros dollar dollars cent cents yen 円 元 원"
)
_MONEY = frozenset(_CURRENCIES.split())
_ORDINAL = frozenset({"st", "nd", "rd", "th", "º", "ª", "er", "e", "."})
# Temperatures, of which a unit is not all: 0 °C are 32 °F.
_DEGREES = {"°c": 1.8, "°f": 1.0}


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
            bare = family is _TIMES and not self.factors and unit not in _SHARED
            if unit in family and (known is not None or bare):
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
    lowered = after.rstrip(".").strip()
    lowered = lowered if lowered in _CASED else lowered.lower()
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
    if set(named) == {"b"} and units.get(""):
        return None  # bytes or billions?
    if set(named) <= set(_TIMES) and not set(named) <= _SHARED:
        return {u: _TIMES[u] for u in named}
    for family in FAMILIES:
        if set(named) <= set(family):
            return {u: family[u] / family[common] for u in named}
    if set(named) == set(_DEGREES):
        return {u: _DEGREES[u] / _DEGREES[common] for u in named}
    if len(named) == 1:
        return {common: 1.0}
    rare = sum(named.values()) - named[common]
    # A plural, a spelling: "1 room", "2 rooms".
    stems = {u.rstrip("s.").strip() for u in named}
    if len(stems) == 1 or (rare <= 0.02 * total and len(named) <= 3):
        return dict.fromkeys(named, 1.0)
    return None


def zero_of(unit: str, worth: float) -> float:
    """What the zero of a unit of that worth is in the commonest one: only temperatures have one."""
    if unit not in _DEGREES or worth == 1:
        return 0.0
    return 32.0 if unit == "°c" else -32.0 * worth


def part_of(small: str, large: str) -> float | None:
    """What a unit is in a larger one, as inches in feet; None if they do not go so together."""
    for family in FAMILIES:
        if small in family and large in family and family[small] < family[large]:
            timed = "h" in family and large not in ("year", "years", "month", "months")
            return None if timed else family[small] / family[large]
    return None
