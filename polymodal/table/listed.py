"""Numbers that a text lists, as people and programs write them."""

from __future__ import annotations

import re
from itertools import islice
from typing import Any

import numpy as np

from polymodal.table import dates, numerals
from polymodal.table.nothing import PROGRAMS

# What stands between numbers, the first first; a comma may also be a decimal point.
MARKS = ("\t", ";", "|")
# What NumPy prints for numbers that it leaves out.
SHORTENED = "..."
_CALL = re.compile(r"(?:np\.|numpy\.|torch\.)?(?:array|tensor)\((.*)\)", re.DOTALL)
_ROW = re.compile(r"[\[(]([^\[\]()]*)[\])]")
# Characters of numbers, of what parts them, and of nan, inf, NA, null and None.
_PLAUSIBLE = re.compile(r"[\d\s.,;|+\-\u2212eE\[\]()naNifIFulAo]+")
_DECIMAL = re.compile(r"\d[.,]\d|\d\.(?!\d)|\d[eE]")
# Cells that tell what a column is; and so many numbers a cell are a series, or so many with
# decimals: fewer whole numbers may be labels, dates or measures.
SAMPLE, MANY, SOME = 200, 8, 3
# Characters of one number at most.
ONE = 20


def numbers(text: str) -> np.ndarray[Any, Any] | list[Any] | None:
    """The numbers that a text lists: `(n,)`, or `(rows, columns)`; gaps are NaN.

    As NumPy and Python print them, or parted by blanks, commas, semicolons, bars or tabs, with
    decimal points or commas; a line a row.

    Returns:
        A list of lists where rows differ in length; None for a text that is anything else, or one
        number alone.
    """
    text = text.strip()
    if text[:1] in ("'", '"') and text[-1:] == text[:1]:  # quoted once too often
        text = text[1:-1].strip()
    call = _CALL.fullmatch(text)
    if call is not None:
        text = call[1][: call[1].rfind("]") + 1]
    if not text or not _PLAUSIBLE.fullmatch(text) or not re.search(r"\d", text):
        return None
    bracketed = text[0] in "[("
    if bracketed and text[-1] not in "])":
        return None
    if bracketed:
        nested = text[1:].lstrip()[:1] in ("[", "(")
        lines = _ROW.findall(text) if nested else [" ".join(text[1:-1].split())]
    else:
        nested = False
        lines = [line for line in text.splitlines() if line.strip()]
    rows = [line_of(" ".join(line.split("\n"))) for line in lines]
    if any(row is None for row in rows) or not rows:
        return None
    found = [row for row in rows if row is not None]
    if len(found) == 1 and not nested:
        return np.array(found[0]) if bracketed or len(found[0]) > 1 else None
    if len({len(row) for row in found}) > 1:
        return found
    array = np.array(found)
    # Numbers below each other are one list.
    return array if nested or array.shape[1] > 1 else array[:, 0]


def line_of(line: str) -> list[float] | None:
    """The numbers of a line, NaN for gaps; None if something is no number."""
    found = [number(part) for part in parts_of(line)]
    known = [value for value in found if value is not None]
    return known if len(known) == len(found) and found else None


def parts_of(line: str) -> list[str]:
    """The fields of a line."""
    mark = mark_of(line)
    if mark is None:
        return [part.rstrip(",") if part[-1:] == "," else part for part in line.split()]
    # A mark at the very end ends the last field.
    parts = line.split(mark)
    return parts[:-1] if len(parts) > 1 and mark != "\t" and not parts[-1].strip() else parts


def mark_of(line: str) -> str | None:
    """What parts the fields of a line; None for blanks."""
    mark = next((mark for mark in MARKS if mark in line), None)
    if mark is not None or "," not in line:
        return mark
    words = line.split()
    inside = [word for word in words if "," in word.rstrip(",")]
    if len(words) > 1 and not inside:
        return ","  # "1, 2, 3"
    decimal = all(word.count(",") <= 1 and word[-1] != "," for word in words)
    return None if len(words) > 1 and decimal else ","


def number(word: str) -> float | None:
    """The number in a field, NaN for a gap; None if it is none."""
    word = word.strip().replace("\u2212", "-")
    if not word or word.lower() in PROGRAMS:
        return float("nan")
    if "," in word:
        # The last of two signs parts the decimals, the other one thousands.
        thousands, decimal = (",", ".") if word.rfind(".") > word.rfind(",") else (".", ",")
        if word.count(decimal) > 1:
            return None
        word = word.replace(thousands, "").replace(decimal, ".")
    try:
        return None if "_" in word else float(word)
    except ValueError:
        return None


def _is_one(text: str) -> bool:
    """Whether the marks in a text may part the thousands of one number, or a date's parts."""
    bare = text.strip()
    grouped = " " not in bare and len(bare) <= ONE and numerals.grouped(bare) is not None
    return grouped or dates.moment(bare, "dmy") is not None


def is_series(cells: list[Any]) -> bool:
    """Whether nearly all of a column's texts list so many numbers that they are series."""
    sample = list(islice((str(cell) for cell in cells), SAMPLE))
    if sum(map(_is_one, sample)) >= 0.9 * len(sample):
        return False
    counts, decimals, brackets = [], 0, 0
    for text in sample:
        bare = text.replace(SHORTENED, " ") if "[" in text else text
        found = numbers(bare)
        if found is not None:
            counts.append(np.size(found) if isinstance(found, np.ndarray) else len(found))
            decimals += bool(_DECIMAL.search(text))
            brackets += "[" in text
    if len(counts) < 0.9 * len(sample):
        return False
    typical = float(np.median(counts))
    some = typical >= SOME and decimals >= 0.9 * len(counts)
    return brackets >= 0.9 * len(counts) or typical >= MANY or some
