"""Whether a column is of numbers, dates or times, and how they are written: the column decides."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from polymodal.base.arrow import is_text
from polymodal.table import dates, numerals
from polymodal.table.columns import counted
from polymodal.table.dates import scalar, seconds
from polymodal.table.nothing import is_word
from polymodal.table.reading import Reading
from polymodal.table.units import Units, settled

# So many other words at most, in this share of cells at most, say that a number is not known.
OWN_WORDS, OWN_SHARE = 5, 0.4
# A smaller share of words is a slip: numbers with it are no names.
SLIP = 0.02
# Beyond so many values a column is no choice among a few.
FEW = 20
# Shares of the cells that must agree where a kind is inferred, and where it was declared.
NEARLY_ALL, HALF = 0.95, 0.5
# Digits from which on floats leave some whole numbers out.
LONG = 16
_CODE = re.compile(r"0\d+")
_VERSION = re.compile(r"([1-9]\d?)\.\d{1,2}\.\d{2}")


@dataclass(frozen=True)
class Found:
    """What a column of cells is read as.

    Attributes:
        reading: how.
        values: the known cells' numbers, of several the first: `(known,)` float64.
        words: text -> how many cells of it count as missing.
        odd: how many cells are no number.
        written: whether most cells are written otherwise than computers write numbers: no id is.
    """

    reading: Reading
    values: np.ndarray[Any, Any]
    words: dict[str, int]
    odd: int
    written: bool = False

    def details(self) -> dict[str, Any]:
        """What the schema keeps of it."""
        reads = self.reading.to_json()
        return {"reads": reads} if reads else {}

    def said(self) -> str:
        """How cells are written and what counts as missing, in words."""
        said = self.reading.said()
        parts = [said] if said else []
        if self.words:
            shown = ", ".join(f"'{w}'" for w in list(self.words)[:4])
            count = sum(self.words.values())
            parts.append(f"{shown} in {count:,} cell{'s' * (count > 1)} counts as missing")
        if self.odd:
            other, missing = ("other ", "too") if self.words else ("", "missing as no number")
            parts.append(f"{self.odd:,} {other}cell{'s' * (self.odd > 1)} {missing}")
        return "; ".join(parts)


def find(
    data: pa.ChunkedArray,
    *,
    declared: bool = False,
    decimal: str | None = None,
    order: str | None = None,
) -> Found | None:
    """How a column of plain cells is read as numbers or dates; None if it is neither.

    Args:
        declared: whether the user says that it is, so that half of the cells are enough.
        decimal, order: as the user says, or None.
    """
    if not is_text(data.type):
        return _typed(data, order)
    counts = counted(data)
    if not counts or (not declared and _too_long(counts)):
        return None
    if decimal is None and order is None:
        fast = _plain(data, counts, declared)
        if fast is not None:
            return fast
    words = {t: n for t, n in counts.items() if Reading().says_nothing(t)}
    rest = {t: n for t, n in counts.items() if t not in words}
    if not any(any(c.isdecimal() for c in text) for text in rest):
        return None
    least = HALF if declared else NEARLY_ALL
    if not declared and _like_codes(rest):
        return None
    own = {t: n for t, n in rest.items() if not any(c.isdecimal() for c in t)}
    if own and not declared and not _may_be_missing(own, rest):
        own = {}
    asked = {t: n for t, n in rest.items() if t not in own}
    reading = _reading(asked, least, decimal, order)
    if reading is None and own:
        own, asked = {}, rest
        reading = _reading(asked, least, decimal, order)
    if reading is None:
        return None
    found = _found(reading, words, own, asked)
    decimals = np.any(found.values != np.floor(found.values))
    names = own and sum(own.values()) > SLIP * sum(rest.values())
    if names and not declared and not decimals and len(np.unique(found.values)) <= FEW:
        return None  # names, some of which are numbers
    return found


def _plain(data: pa.ChunkedArray, counts: Mapping[str, int], declared: bool) -> Found | None:
    """Columns of nothing but numbers as computers write them, read at once."""
    try:
        cast = pc.cast(pc.utf8_trim_whitespace(data), pa.float64())
    except pa.ArrowInvalid:
        return None
    if not declared and _like_codes(counts):
        return None
    values = cast.drop_null().to_numpy()
    known = values[np.isfinite(values)]
    if not len(known):
        return None
    # 1.234 and 12.345 may have 12,5 beside them in another row, but not here.
    if _all_compact(counts, known):
        return _found(Reading("date", order="ymd"), {}, {}, dict(counts))
    words = {t: n for t, n in counts.items() if is_word(t)}
    return Found(Reading(), known, words, len(values) - len(known) - sum(words.values()))


def _typed(data: pa.ChunkedArray, order: str | None) -> Found | None:
    """A column of numbers, dates or times as Arrow types."""
    kind = data.type
    types = pa.types
    if types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind):
        values = np.array([float(v) for v in data.drop_null().to_pylist()])
        known = values[np.isfinite(values)]
        if not len(known):
            return None
        long = types.is_integer(kind) and known.max() > 2**53
        if long and _too_long(map(str, data.drop_null().unique().to_pylist())):
            return None
        odd = len(values) - len(known)
        # Whole numbers with a gap come as floats from some programs.
        whole = _spans_dates(known) and bool(np.all(known == np.floor(known)))
        texts = {f"{v:.0f}" for v in np.unique(known)} if whole else set()
        if texts and _all_compact(texts, known):
            read = [seconds(dates.moment(f"{v:.0f}", "ymd")) for v in known]
            return Found(Reading("date", order="ymd"), np.array(read), {}, odd)
        return Found(Reading(), known, {}, odd)
    if types.is_temporal(kind):
        values = np.array([scalar(v) for v in data.drop_null().to_pylist()])
        what = "clock" if types.is_time(kind) else "span" if types.is_duration(kind) else "date"
        return Found(Reading(what, order="ymd"), values, {}, 0) if len(values) else None
    return None


def _spans_dates(values: np.ndarray[Any, Any]) -> bool:
    return bool(len(values) > 1 and values.min() >= 19000101 and values.max() < 21000101)


def _all_compact(counts: Iterable[str], values: np.ndarray[Any, Any]) -> bool:
    """Whether all cells are dates such as 20240131, and more than one."""
    if not _spans_dates(values) or values.min() == values.max():
        return False
    return all(dates.is_compact(text) for text in counts)


def _like_codes(counts: Mapping[str, int]) -> bool:
    """Whether more cells than a slip begin like 007."""
    zeros = sum(n for text, n in counts.items() if _CODE.fullmatch(text.strip()))
    return zeros > 0.01 * sum(counts.values())


def _too_long(whole: Iterable[str]) -> bool:
    """Whether floats cannot tell whole numbers apart that are written out: codes, no quantities."""
    written = [text for text in whole if len(text) >= LONG and text.strip().isdecimal()]
    return len({float(text) for text in written}) < NEARLY_ALL * len(written)


def _may_be_missing(own: Mapping[str, int], rest: Mapping[str, int]) -> bool:
    """Whether the few words among numbers may say that nothing is known."""
    short = all(len(text) <= 30 and len(text.split()) <= 3 for text in own)
    return short and len(own) <= OWN_WORDS and sum(own.values()) <= OWN_SHARE * sum(rest.values())


def _reading(
    texts: Mapping[str, int], least: float, decimal: str | None, order: str | None
) -> Reading | None:
    """The reading by which so large a share of the cells has a meaning."""
    total = sum(texts.values())
    # One odd cell makes no column of numbers one of names.
    allowed = max((1 - least) * total, total >= 10)

    def enough(reading: Reading) -> bool:
        missed = 0
        for text, n in texts.items():
            if reading.read(text) is None:
                missed += n
                if missed > allowed:
                    return False
        return True

    if order is not None and decimal is None:
        found = Reading("date", order=order)
        return found if enough(found) else None
    mark = decimal or _decimal(texts)
    # Dates first: "31.01.2024" is no number with marks between thousands.
    if decimal is None:
        dated = () if _like_versions(texts) else (Reading("date", order=_order(texts)),)
        for one in (*dated, Reading("clock")):
            if enough(one):
                return one
    units = _units(texts)
    if units is not None:
        number = Reading(decimal=mark, units=units)
        if enough(number):
            return number
    span = Reading("span", decimal=mark)
    if decimal is None and enough(span):
        return span
    return _several(texts, mark, least)


def _like_versions(texts: Iterable[str]) -> bool:
    """Whether all cells are like 4.1.12: days, unlike versions, pass 12 in one cell or another."""
    found = [_VERSION.fullmatch(text.strip()) for text in texts]
    return all(match is not None and int(match[1]) <= 12 for match in found)


def _several(texts: Mapping[str, int], mark: str, least: float) -> Reading | None:
    """How cells with as many numbers each are read."""
    lengths: Counter[int] = Counter()
    units: Counter[str] = Counter()
    spare = Units({}, open=True).factor
    missed, total = 0, sum(texts.values())
    for text, n in texts.items():
        several = numerals.several(text, mark, spare) or []
        lengths[len(several)] += n
        missed += 0 if several else n
        if missed > (1 - least) * total:
            return None
        for piece in numerals.pieces(text) if several else ():
            units[numerals.unit_of_piece(piece)] += n
    parts, count = lengths.most_common(1)[0]
    worth = settled(dict(units))
    if worth is None or count < least * total:
        return None
    return Reading("several", mark, parts=parts, units=worth)


def _decimal(texts: Mapping[str, int]) -> str:
    votes: Counter[str | None] = Counter()
    for text, n in texts.items():
        votes[numerals.marks(text)] += n
    return "," if votes[","] > votes["."] else "."


def _units(texts: Mapping[str, int]) -> dict[str, float] | None:
    """Units that the cells have and their worth; None if they do not go together."""
    found: Counter[str] = Counter()
    for text, n in texts.items():
        unit = numerals.unit(text)
        if unit is not None:
            found[unit] += n
            if len(found) > 30:
                return None
    return settled(dict(found))


def _order(texts: Iterable[str]) -> str:
    """How the day, the month and the year stand in dates of digits: the order that fits most."""
    shown = [found for text in texts if (found := dates.places(text)) is not None]
    if not shown or all(a > 31 for a, _, _ in shown):
        return "ymd"
    firsts, seconds_, thirds = ({found[i] for found in shown} for i in range(3))
    fits = {
        "dmy": sum(a <= 31 and b <= 12 for a, b, _ in shown),
        "mdy": sum(a <= 12 and b <= 31 for a, b, _ in shown),
        "ymd": sum(b <= 12 and c <= 31 for _, b, c in shown) if max(thirds) <= 31 else -1,
    }
    if fits["ymd"] == len(shown):
        others = max(fits["dmy"], fits["mdy"])
        if others < len(shown) or len(firsts) < min(len(thirds), 10):
            return "ymd"
    if fits["dmy"] == fits["mdy"] and seconds_ == {1} and len(firsts) > 1:
        return "mdy"  # the first of every month, as Americans write it
    return "mdy" if fits["mdy"] > fits["dmy"] else "dmy"


def _found(
    reading: Reading,
    words: Mapping[str, int],
    own: Mapping[str, int],
    asked: Mapping[str, int],
) -> Found:
    # A word that says that nothing is known comes back; what stands in one cell may be a slip.
    slips = sum(n for n in own.values() if n == 1)
    own = {text: n for text, n in own.items() if n > 1}
    missing = tuple(text.strip() for text in own)
    reading = Reading(**{**asdict(reading), "missing": missing})
    values: list[float] = []
    odd, plain = slips, 0
    for text, n in asked.items():
        value = reading.read(text)
        plain += n if numerals.plain(text) is not None else 0
        if value is None:
            odd += n
        else:
            values += [scalar(value)] * n
    written = plain < HALF * sum(asked.values())
    return Found(reading, np.array(values), {**words, **own}, odd, written)
