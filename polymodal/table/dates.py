"""Dates and times as people write them. Which of "01/02/2024" is the month the column decides."""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from polymodal.table.numerals import LONGEST, tidy

# How the day, the month and the year may stand, the first where nothing tells.
EPOCH = datetime.datetime(1970, 1, 1)
ORDERS = ("dmy", "mdy", "ymd")
# Months, abbreviated and whole, in languages that write them so. A word that only begins like one
# is none.
_MONTHS = (
    "jan january januar jänner jän janv janvier janeiro januari gen gennaio ene enero янв январь "
    "января sty styczeń stycznia led leden ledna oca ocak",
    "feb febr february februar februari fév févr fev février fevereiro febbraio febrero фев февр "
    "февраль февраля lut luty lutego úno únor února şub şubat",
    "mar march mär märz mrz mars marzo março maart mrt maa марта мар март marzec marca bře březen "
    "března mart",
    "apr april avr avril abr abril aprile апр апрель апреля kwi kwiecień kwietnia dub duben dubna "
    "nis nisan",
    "may mai mayo maio maggio mag mei maj maja maya май мая kvě květen května mayıs",
    "jun june juni juin junio junho giu giugno июн июнь июня czerwiec czerwca cze červen června "
    "haz haziran",
    "jul july juli juil juillet julio julho lug luglio июл июль июля lip lipiec lipca červenec "
    "července tem temmuz",
    "aug august augustus augusti aoû août aou aout agosto ago авг август августа sie sierpień "
    "sierpnia srp srpen srpna ağu ağustos",
    "sep sept september septembre septiembre setembro settembre set сен сент сентябрь сентября wrz "
    "wrzesień września zář září eyl eylül",
    "oct october okt oktober octobre octubre outubro out ottobre ott окт октябрь октября paź "
    "październik października říj říjen října eki ekim",
    "nov november novembre noviembre novembro ноя нояб ноябрь ноября lis listopad listopada "
    "listopadu kas kasım",
    "dec december dez dezember déc décembre dic diciembre dicembre dezembro дек декабрь декабря "
    "gru grudzień grudnia pro prosinec prosince ara aralık",
)
_MONTH_OF = {name: i for i, names in enumerate(_MONTHS, 1) for name in names.split()}
# Abbreviations that are English words: "LED 2000" and "3 set 12" are no dates, "set/2000" is one.
_WORDS = frozenset({"led", "set", "pro", "out", "lip", "dub"})
_DAYS = re.compile(
    r"^(?:mon|tues?|wed|thu(?:rs?)?|fri|sat|sun|(?:mon|tues|wednes|thurs|fri|satur|sun)day|"
    r"mo|di|mi|do|fr|sa|so|(?:mon|diens|donners|frei|sams|sonn)tag|mittwoch|sonnabend|"
    r"lun|mar|mer|jeu|ven|sam|dim|(?:lun|mar|mercre|jeu|vendre|same)di|dimanche|"
    r"mié|mie|jue|vie|sáb|sab|dom|lunes|martes|miércoles|miercoles|jueves|viernes|sábado|sabado|"
    r"domingo|gio|(?:lune|marte|mercole|giove|vener)dì|sabato|domenica|ma|wo|vr|za|zo|"
    r"(?:maan|dins|woens|donder|vrij|zater|zon)dag)\.?,?\s+(?=[^\s])", re.I,
)  # fmt: skip
_TIME = (
    r"(?P<h>\d{1,2})(?::|h(?=\d\d))(?P<m>[0-5]\d)(?::(?P<s>[0-5]\d|60)(?:[.,](?P<f>\d{1,9}))?)?\s*"
    r"(?P<half>[ap]\.?m\.?)?\s*(?:uhr|h)?"
)
_ZONE = r"\s*(?P<zone>z|utc|gmt|(?:utc|gmt)?[+-]\d{2}:?\d{2}|[+-]\d{2}(?!\d))?"
_CLOCK = re.compile(rf"{_TIME}|(?P<hour>\d{{1,2}})\s*(?P<noon>[ap]\.?m\.?)", re.I)
_AFTER = (
    rf"(?:(?:[\sT,]+|:(?=\d\d:))(?:at\s+|um\s+|à\s+)?{_TIME}{_ZONE}(?:\s*\(?[A-Z]{{3,4}}\)?)?)?"
)
_NUMERIC = re.compile(
    rf"(?P<a>\d{{4}}|\d\d?)(?P<mark>[-/.]\s?)(?P<b>\d\d?)(?P=mark)(?P<c>\d{{4}}|\d\d?)\.?{_AFTER}",
    re.I,
)
_CJK = re.compile(
    rf"(\d{{4}})\s*[年년]\s*(\d{{1,2}})\s*[月월]\s*(?:(\d{{1,2}})\s*[日일])?{_AFTER}", re.I
)
_DAY_NAME = re.compile(
    rf"(?P<d>\d{{1,2}})(?:st|nd|rd|th|er|\.|º)?[\s/-]*(?:de\s+)?(?P<n>[^\W\d_]{{3,12}})\.?,?[\s/-]*"
    rf"(?:de\s+)?'?(?P<y>\d{{4}}|\d{{2}})(?:\s*г(?:\.|ода)?)?{_AFTER}", re.I,
)  # fmt: skip
_NAME_DAY = re.compile(
    rf"(?P<n>[^\W\d_]{{3,12}})\.?\s*(?P<d>\d{{1,2}})(?:st|nd|rd|th)?,?\s+(?P<y>\d{{4}}){_AFTER}",
    re.I,
)
_ASCTIME = re.compile(
    rf"(?P<n>[^\W\d_]{{3}})\s+(?P<d>\d{{1,2}})\s+{_TIME}{_ZONE}\s+(?P<y>\d{{4}})", re.I
)
_NAME_YEAR = re.compile(r"(?P<n>[^\W\d_]{3,12})\.?[\s/,-]*'?(?P<y>\d{4})", re.I)
_YEAR_NAME = re.compile(r"(?P<y>\d{4})[\s/-]+(?P<n>[^\W\d_]{3,12})(?:[\s/-]+(?P<d>\d{1,2}))?", re.I)
# Years that need no day beside them to be some.
_RECENT = re.compile(r"(?:1[89]|2[01])\d\d")
_MONTH = re.compile(r"(\d{4})[-/.](0?[1-9]|1[0-2])")
_MONTH_FIRST = re.compile(r"(0?[1-9]|1[0-2])[-/]((?:19|20)\d\d)")
_QUARTER = re.compile(r"(\d{4})[\s-]*Q([1-4])|Q([1-4])[\s/-]*(\d{4})", re.I)
_WEEK = re.compile(r"(\d{4})-?W(\d{2})(?:-?([1-7]))?", re.I)
_COMPACT = re.compile(
    r"(19\d\d|20\d\d)(0[1-9]|1[0-2])([0-2]\d|3[01])(?:T?(\d{2})(\d{2})(\d{2})Z?)?"
)


def moment(text: str, order: str) -> datetime.datetime | None:
    """The moment that a cell names, in UTC where it names a zone and without one; None if none.

    Args:
        order: one of ORDERS, for dates in digits whose year is not first; or a format such as
            "%d.%m.%y" (`datetime.strptime`), then only that.
    """
    if "%" in order:
        try:
            return _utc(datetime.datetime.strptime(text.strip(), order))
        except (ValueError, OverflowError):  # the first year in a zone east of Greenwich
            return None
    try:
        return (
            _utc(datetime.datetime.fromisoformat(text.strip()))
            if "-" in text
            else _written(text, order)
        )
    except (ValueError, OverflowError):
        return _written(text, order)


def clock(text: str) -> datetime.time | None:
    """A time of day such as "08:29", "8:29 PM" or "9am"; None for anything else."""
    match = _CLOCK.fullmatch(tidy(text)) if len(text) <= LONGEST else None
    if match is None:
        return None
    if match["hour"]:
        hour, half, minute, second = int(match["hour"]), match["noon"], 0, 0
    else:
        hour, half = int(match["h"]), match["half"]
        minute, second = int(match["m"]), min(59, int(match["s"] or 0))
    if half:
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + (12 if half[0].lower() == "p" else 0)
    return datetime.time(hour, minute, second) if hour < 24 else None


def places(text: str) -> tuple[int, int, int] | None:
    """The three numbers of a date in digits only, as they stand; None for others."""
    match = _NUMERIC.fullmatch(_bare(text))
    return (int(match["a"]), int(match["b"]), int(match["c"])) if match else None


def is_compact(text: str) -> bool:
    """Whether eight or fourteen digits are a date such as 20240131."""
    return _COMPACT.fullmatch(text.strip()) is not None and moment(text, "ymd") is not None


def _bare(text: str) -> str:
    if len(text) > LONGEST:
        return ""
    return _DAYS.sub("", tidy(text), count=1)


@lru_cache(2)
def _today() -> int:
    return datetime.datetime.now(datetime.UTC).year


def _written(text: str, order: str) -> datetime.datetime | None:
    if len(text) > LONGEST:
        return None
    # "Mar" is a Tuesday too.
    for bare in dict.fromkeys((tidy(text), _bare(text))):
        if 4 <= len(bare) <= 50:
            try:
                found = _numeric(bare, order) or _named(bare) or _other(bare)
            except (ValueError, OverflowError):  # 31 February
                return None
            if found is not None:
                return found
    return None


def _numeric(text: str, order: str) -> datetime.datetime | None:
    match = _NUMERIC.fullmatch(text)
    if match is None:
        return None
    a, b, c = match["a"], match["b"], match["c"]
    if len(a) == 4 or (order == "ymd" and len(a) == 2 and len(c) <= 2):
        year, month, day = a, b, c
    elif len(c) in (2, 4) and len(a) <= 2:
        day, month = (b, a) if order == "mdy" else (a, b)
        year = c
    else:
        return None
    return _made(year, int(month), int(day), match)


def _named(text: str) -> datetime.datetime | None:
    for shape in (_DAY_NAME, _NAME_DAY, _ASCTIME):
        match = shape.fullmatch(text)
        if match is not None and (month := _month(match["n"])):
            word = match["n"].lower() in _WORDS
            if not word or _RECENT.fullmatch(match["y"]):
                return _made(match["y"], month, int(match["d"]), match)
    for shape in (_NAME_YEAR, _YEAR_NAME):
        match = shape.fullmatch(text)
        if match is not None and (month := _month(match["n"])):
            day = match.groupdict().get("d")
            word = match["n"].lower() in _WORDS and not re.search("[-/]", text)
            if day or (not word and _RECENT.fullmatch(match["y"])):
                return datetime.datetime(int(match["y"]), month, int(day or 1))
    return None


def _other(text: str) -> datetime.datetime | None:
    if match := _CJK.fullmatch(text):
        return _made(match[1], int(match[2]), int(match[3] or 1), match)
    if match := _MONTH.fullmatch(text):
        return datetime.datetime(int(match[1]), int(match[2]), 1)
    if match := _MONTH_FIRST.fullmatch(text):
        return datetime.datetime(int(match[2]), int(match[1]), 1)
    if match := _QUARTER.fullmatch(text):
        year, quarter = int(match[1] or match[4]), int(match[2] or match[3])
        return datetime.datetime(year, 3 * quarter - 2, 1)
    if match := _WEEK.fullmatch(text):
        return datetime.datetime.fromisocalendar(int(match[1]), int(match[2]), int(match[3] or 1))
    if match := _COMPACT.fullmatch(text):
        return datetime.datetime(*(int(part) for part in match.groups() if part))  # type: ignore[arg-type]
    return None


def _month(name: str) -> int | None:
    return _MONTH_OF.get(name.lower())


def _made(year: str, month: int, day: int, match: re.Match[str]) -> datetime.datetime:
    years = int(year)
    if len(year) <= 2:
        years += 2000 if years <= _today() % 100 + 10 else 1900
    date = datetime.datetime(years, month, day)
    parts = match.groupdict()
    if not parts.get("h"):
        return date
    hour, half = int(parts["h"]), parts["half"]
    if half:
        hour = hour % 12 + (12 if half[0].lower() == "p" else 0)
    micro = int(((parts["f"] or "") + "000000")[:6])
    date = date.replace(
        minute=int(parts["m"]), second=min(59, int(parts["s"] or 0)), microsecond=micro
    )
    date += datetime.timedelta(hours=hour)
    zone = re.sub(r"[a-z:]", "", (parts.get("zone") or "").lower())
    if zone:
        offset = datetime.timedelta(hours=int(zone[1:3]), minutes=int(zone[3:5] or 0))
        date -= offset if zone[0] == "+" else -offset
    return date


def _utc(found: datetime.datetime) -> datetime.datetime:
    return found if found.tzinfo is None else found.astimezone(datetime.UTC).replace(tzinfo=None)


def seconds(moment: datetime.date | None) -> float | None:
    """Seconds since 1970 of a moment without a zone."""
    if moment is None:
        return None
    if not isinstance(moment, datetime.datetime):
        moment = datetime.datetime(moment.year, moment.month, moment.day)
    if moment.tzinfo is not None:
        moment = moment.astimezone(datetime.UTC).replace(tzinfo=None)
    return (moment - EPOCH) / datetime.timedelta(seconds=1)


def scalar(value: Any) -> float:
    """One number for what `Reading.value` gives, NaN for None; of several the first."""
    if value is None:
        return math.nan
    if isinstance(value, list | tuple | np.ndarray):
        return scalar(value[0]) if len(value) else math.nan
    if isinstance(value, datetime.time):
        return value.hour * 3600 + value.minute * 60 + value.second + value.microsecond / 1e6
    if isinstance(value, datetime.timedelta):
        return value.total_seconds()
    if isinstance(value, datetime.date):
        return seconds(value) or 0.0
    return float(value)


def calendar(value: Any) -> dict[str, float]:
    """The parts of a date, moment or time of day that models read.

    Of a date: `elapsed` days since 1970, `year_sin` and `year_cos` of the day in its year, `month`
    1 to 12, `day` of the month, `weekday` 1 (Monday) to 7; and of a time of day: `hour`, `day_sin`
    and `day_cos`.
    """
    found: dict[str, float] = {}
    if isinstance(value, datetime.date):
        if isinstance(value, datetime.datetime) and value.tzinfo is not None:
            value = value.astimezone(datetime.UTC).replace(tzinfo=None)
        of_year = value.timetuple().tm_yday
        turn = 2 * math.pi * (of_year - 1) / 365.25
        found["elapsed"] = (seconds(value) or 0.0) / 86400
        found["year_sin"], found["year_cos"] = math.sin(turn), math.cos(turn)
        found["month"], found["day"] = float(value.month), float(value.day)
        found["weekday"] = float(value.isoweekday())
    if isinstance(value, datetime.datetime | datetime.time):
        hour = value.hour + value.minute / 60 + value.second / 3600
        turn = 2 * math.pi * hour / 24
        found["hour"] = hour
        found["day_sin"], found["day_cos"] = math.sin(turn), math.cos(turn)
    return found


def is_moment(cells: Sequence[Any]) -> bool:
    """Whether cells, read, are dates or times of day."""
    return bool(cells) and all(isinstance(c, datetime.date | datetime.time) for c in cells)
