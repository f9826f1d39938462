"""Whether cells are numbers, categories or sets; or name a row and nothing else."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from polymodal.base.words import count
from polymodal.contract.kind import Guess
from polymodal.table import chat
from polymodal.table.numbers import Found
from polymodal.table.values import NEARLY_ALL, short

# So many different values at most make a category of whole numbers or of long names.
FEW = 20
# Few whole numbers that fill this part of their span or less, 1 / GAPS, are codes: grades, ages and
# counts leave out few.
GAPS = 2
# Codes that come back less often than every 1 / RARE rows name rows or groups of them.
RARE = 0.25
# Words of a name at most, on average.
PAIR = 2.2
# Texts of so many words on average are texts, however few: of another one the words may be known.
LONG = 10
# Words of a code at most, in scripts that put no spaces between them; and what ends a sentence.
TOKEN = 3
SENTENCE = tuple(".?!。！？．।॥؟۔።។၊။…")
_CODE_WORDS = frozenset(
    {"id", "ids", "uuid", "guid", "code", "codes", "zip", "zipcode", "postcode", "postal", "sku"}
    | {"plz", "postleitzahl", "kennung", "cep", "codigo", "código", "codice", "kode", "kod", "kodu"}
    | {"код", "индекс"}
)
# Their names have no blanks between words.
_CODE_PARTS = ("编码", "编号", "代码", "邮编", "郵便番号", "コード", "번호", "코드")


def of_lists(cells: list[Any]) -> Guess | None:
    """What lists of labels are; None if many say a label twice, as texts in words do."""
    present = [cell for cell in cells if cell]
    repeating = sum(len(set(cell)) < len(cell) for cell in present)
    if repeating > (1 - NEARLY_ALL) * len(present):
        return None
    different = len({member for cell in present for member in cell})
    return Guess("set", f"lists of {different:,} different labels")


def of_numbers(name: str, found: Found) -> Guess:
    """What a column of cells that are numbers is."""
    guess = _of_numbers(name, found)
    said = "; ".join(part for part in (guess.reason, found.said()) if part)
    if guess.kind == "skip":
        return Guess(guess.kind, said, {**(guess.details or {}), **found.details()})
    if guess.kind == "number":
        return Guess(guess.kind, said, found.details())
    return Guess(guess.kind, said, {"missing": sorted(found.words)} if found.words else {})


def _of_numbers(name: str, read: Found) -> Guess:
    found, what = read.values, read.reading.what
    rows = len(found)
    if what == "date" and _evenly_spaced(found):
        return Guess.identifier(f"an index: {rows:,} evenly spaced dates, each once")
    if what != "number":
        return Guess("number", "")
    different, counts = np.unique(found, return_counts=True)
    size, missing = len(different), sum(read.words.values()) + read.odd
    known = f" in {rows:,} of {rows + missing:,} cells" if missing else ""
    if not np.all(found == np.floor(found)):
        return Guess("number", f"{size:,} different decimal numbers{known}")
    code = _called_code(name) and different[0] >= 0
    # An id is written plainly.
    # Nor do ids lack in some rows, unless they are called so.
    if not read.written and (code or not missing):
        if _evenly_spaced(found):
            return Guess.identifier(f"an index: {rows:,} evenly spaced whole numbers, each once")
        if _drawn_without_repeats(found, size) or (code and size > RARE * rows):
            seen = f"{size:,} different whole numbers in {rows:,} cells"
            return Guess.identifier(f"an id: {seen}, such as {found[0]:.0f}")
    if code:
        return Guess("category", f"codes: {size:,} different whole numbers that keep coming back")
    if size > FEW or size > 0.05 * rows or _is_quantity(counts):
        return Guess("number", f"{size:,} different whole numbers{known}")
    span = f"{different[0]:.0f} to {different[-1]:.0f}"
    if size > 2 and different[-1] - different[0] < GAPS * size:
        return Guess("number", f"{size} whole numbers from {span}: a scale or a count")
    return Guess("category", f"only {size} different whole numbers from {span}")


def of_strings(name: str, cells: list[str]) -> Guess | None:
    """What a column of strings is; None if they are texts, or conversations, however few."""
    if all(map(chat.is_written, cells)):
        return None
    rows, different = len(cells), len(set(cells))
    few = different <= FEW and different <= rows / 2
    counts = list(map(count, cells))
    words = sum(counts) / rows
    # "订单2023" is one token of a code; a sentence in a script without spaces is not.
    tokens = (
        len(cell.split()) == 1 and n <= TOKEN and len(cell) <= 64 and "://" not in cell
        for cell, n in zip(cells, counts, strict=True)
    )
    single = sum(tokens) >= NEARLY_ALL * rows
    if single and different > RARE * rows and rows >= FEW:
        digits = sum(any(letter.isdigit() for letter in cell) for cell in cells)
        if digits > 0.6 * rows or _called_code(name):
            seen = f"{different:,} different codes in {rows:,} cells"
            return Guess.identifier(f"an id: {seen}, such as {short(cells[0])}")
    found = f"{different:,} different values in {rows:,} cells"
    sentences = sum(cell.rstrip().endswith(SENTENCE) for cell in cells) > rows / 2
    # One or two words that come back name things: a network of its own would learn no more of them.
    names = (words < 1.5 and different <= rows / 2) or (words <= PAIR and different <= rows / 4)
    phrases = words <= 4 and different <= min(100, rows / 10)
    if (few or names or phrases) and words < LONG and not (sentences and words >= 3):
        return Guess("category", found)
    return None


def _called_code(name: str) -> bool:
    words = re.findall(r"[^\W\d_]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name))
    named = any(word.lower() in _CODE_WORDS for word in words)
    return named or any(part in name for part in _CODE_PARTS)


def _evenly_spaced(found: np.ndarray[Any, Any]) -> bool:
    gaps = np.diff(np.sort(found))
    return len(gaps) >= FEW // 2 and gaps[0] > 0 and bool(np.all(gaps == gaps[0]))


def _drawn_without_repeats(found: np.ndarray[Any, Any], different: int) -> bool:
    """Whether chance would have repeated far more values, had rows been measured independently."""
    span = float(found.max() - found.min()) + 1
    rows = len(found)
    expected = rows + span * np.expm1(-rows / span)
    return bool(expected > FEW / 2 and rows - different < expected / 5)


def _is_quantity(counts: np.ndarray[Any, Any]) -> bool:
    """Whether the frequencies of rising values have one peak or thin out at the end.

    Counts and grades do; codes, which name things in no order, hardly ever.
    """
    if len(counts) <= 5:
        return False
    steps, peak = np.diff(counts), int(np.argmax(counts))
    one_peak = np.all(steps[:peak] > 0) and np.all(steps[peak:] < 0)
    return bool(one_peak or counts[-3:].max() < counts[:-3].min())
