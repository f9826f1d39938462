"""What a column's cells say about its kind."""

from __future__ import annotations

import datetime
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from polymodal.base.errors import UserError
from polymodal.table import values
from polymodal.table.media import kind_of_content, kind_of_name
from polymodal.table.read import Table
from polymodal.table.readers.columnar import holds_binary
from polymodal.table.readers.plain import is_text

# Shares of present cells that must agree.
MOST, NEARLY_ALL = 0.9, 0.95
# So many different values at most make a category of whole numbers or of long names.
FEW = 20
# Few whole numbers that fill this part of their span or less, 1 / GAPS, are codes: grades, ages and
# counts leave out few.
GAPS = 2
# Codes that come back less often than every 1 / RARE rows name rows or groups of them.
RARE = 0.25
# Encoded media are looked into only so often: each look may open a file.
SAMPLE = 50
_CODE = re.compile(r"0\d+")
_OTHER_DATE = re.compile(r"\d{1,2}[./-]\d{1,2}[./-](\d{4}|\d{2})\b.*")
_OTHER_NUMBER = re.compile(
    r"[-+]?([$€£¥]\s?[\d,.]+|[\d,.]+\s?[%$€£¥]|\d{1,3}(,\d{3})+(\.\d+)?|\d+,\d+)"
)
_CODE_WORDS = frozenset({"id", "ids", "uuid", "guid", "code", "zip", "zipcode", "postcode", "sku"})


@dataclass(frozen=True)
class Guess:
    """A kind and why; `details` as of a Column."""

    kind: str
    reason: str
    details: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def identifier(cls, reason: str) -> Guess:
        return cls("skip", reason, {"identifies": True})


def guess(table: Table, name: str) -> Guess:
    """The kind of an input column; "skip" if no model can learn from it."""
    column = table.data.column(name)
    kind, rows = column.type, len(column)
    if column.null_count == rows:
        return Guess("skip", f"all {rows:,} cells are missing")
    if pa.types.is_struct(kind) or holds_binary(kind):
        return _encoded(table, name)
    if is_list(kind):
        return _lists(column)
    cells = [cell for cell in column.to_pylist() if cell is not None]
    if len(cells) == rows and len(set(cells)) == 1:
        return Guess("skip", f"constant: always {_short(cells[0])}")
    if pa.types.is_boolean(kind):
        return Guess("category", "true or false")
    numeric = numbers(cells)
    if numeric is not None:
        return _numbers(name, cells, numeric)
    if is_number(kind):
        return Guess("number", "numbers, many of them infinite")
    return _media_names(cells) or _strings(name, [str(cell) for cell in cells])


def numbers(cells: Sequence[Any]) -> np.ndarray[Any, Any] | None:
    """The cells as floats (dates as seconds) if nearly all are numbers, and few like 007.

    Nearly: a stray "unknown" among 1 000 ages is a mistake to report, not a reason to take ages
    for names. What is no number is left out.
    """
    zeros = sum(
        isinstance(cell, str) and _CODE.fullmatch(cell.strip()) is not None for cell in cells
    )
    if zeros > 0.01 * len(cells):
        return None
    found, strange = [], 0
    for cell in cells:
        try:
            found.append(values.number(cell))
        except ValueError:
            strange += 1
            if strange > (1 - NEARLY_ALL) * len(cells):
                return None
    known = np.array(found)
    known = known[~np.isnan(known)]
    return known if len(known) else None


def is_date(cell: Any) -> bool:
    """Whether a cell that `numbers` accepts is a date or time."""
    if not isinstance(cell, str):
        return isinstance(cell, datetime.date)
    try:
        float(cell)
    except ValueError:
        return True
    return False


def is_list(kind: pa.DataType) -> bool:
    """True for every Arrow type of lists."""
    types = pa.types
    return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))


def depth(kind: pa.DataType) -> tuple[int, pa.DataType]:
    """How deep lists are nested, and the type of what they hold."""
    levels = 0
    while is_list(kind):
        levels, kind = levels + 1, kind.value_type
    return levels, kind


def is_number(kind: pa.DataType) -> bool:
    """True for Arrow types of numbers and truth values."""
    types = pa.types
    return bool(
        types.is_integer(kind)
        or types.is_floating(kind)
        or types.is_decimal(kind)
        or types.is_boolean(kind)
    )


def _encoded(table: Table, name: str) -> Guess:
    """Bytes and structs: by what the files begin with, else by their names."""
    column = table.data.column(name)
    if pa.types.is_struct(column.type) and "array" in column.type.names:
        return Guess("audio", "sampled sound")
    present = np.flatnonzero(column.is_valid().to_numpy())
    rows = present[np.linspace(0, len(present) - 1, min(SAMPLE, len(present))).astype(int)]
    found: Counter[str | None] = Counter()
    try:
        for media in table.media(name, rows.tolist()):
            if media is not None and media.values is not None:
                found[_kind_of_array(np.asarray(media.values))] += 1
            elif media is not None:
                by_name = kind_of_name(media.path or "")
                found[by_name if media.size is None and by_name else _peek(media.head)] += 1
    except UserError as error:
        return Guess("skip", f"cannot be read as media: {error.what}")
    if not found:
        return Guess("skip", "no cell holds anything")
    kind, count = found.most_common(1)[0]
    if kind is None or count < MOST * found.total():
        return Guess("skip", "bytes or nested values of no known media format")
    return Guess(kind, f"{count} of {found.total()} files looked into are {kind}")


def _peek(head: Any) -> str | None:
    return kind_of_content(head(64))


def _kind_of_array(array: np.ndarray[Any, Any]) -> str | None:
    """By its axes: (steps, channels), (height, width, 3), (frames, height, width, 3)."""
    if array.ndim == 2 and array.dtype == np.uint8:
        return "image"
    return {1: "series", 2: "series", 3: "image", 4: "video"}.get(array.ndim)


def _lists(column: pa.ChunkedArray) -> Guess:
    levels, inner = depth(column.type)
    if is_number(inner):
        kind = {1: "series", 2: "series", 3: "image", 4: "video"}.get(levels)
        if kind is not None:
            return Guess(kind, "lists of numbers" if levels == 1 else f"{levels}-fold nested lists")
    if levels != 1 or not is_text(inner):
        return Guess("skip", "nested values that no kind stands for, or nothing but empty lists")
    cells = [cell for cell in column.to_pylist() if cell]
    repeating = sum(len(set(cell)) < len(cell) for cell in cells)
    if repeating > (1 - NEARLY_ALL) * len(cells):
        return Guess("text", "lists of words, some of them repeated", {"words": True})
    different = len({member for cell in cells for member in cell})
    return Guess("set", f"lists of {different:,} different labels")


def _numbers(name: str, cells: list[Any], found: np.ndarray[Any, Any]) -> Guess:
    rows = len(found)
    if is_date(cells[0]):
        if _evenly_spaced(found):
            return Guess.identifier(f"an index: {rows:,} evenly spaced dates, each once")
        return Guess("number", "dates, as seconds since 1970")
    if len(found) < len(cells):
        return Guess("number", f"{rows:,} of {len(cells):,} cells are numbers")
    different, counts = np.unique(found, return_counts=True)
    size = len(different)
    if not np.all(found == np.floor(found)):
        return Guess("number", f"{size:,} different decimal numbers")
    code = _called_code(name) and different[0] >= 0
    if _evenly_spaced(found):
        return Guess.identifier(f"an index: {rows:,} evenly spaced whole numbers, each once")
    if _drawn_without_repeats(found, size) or (code and size > RARE * rows):
        return Guess.identifier(f"an id: {size:,} different whole numbers in {rows:,} cells")
    if code:
        return Guess("category", f"codes: {size:,} different whole numbers that keep coming back")
    if size > FEW or size > 0.05 * rows or _is_quantity(counts):
        return Guess("number", f"{size:,} different whole numbers")
    span = f"{different[0]:.0f} to {different[-1]:.0f}"
    if size > 2 and different[-1] - different[0] < GAPS * size:
        return Guess("number", f"{size} whole numbers from {span}: a scale or a count")
    return Guess("category", f"only {size} different whole numbers from {span}")


def _called_code(name: str) -> bool:
    words = re.findall(r"[A-Z]?[a-z]+|[A-Z]+", name)
    return any(word.lower() in _CODE_WORDS for word in words)


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


def _media_names(cells: list[Any]) -> Guess | None:
    """Paths and URLs, by their suffixes."""
    if not isinstance(cells[0], str):
        return None
    kinds = Counter(kind_of_name(cell) for cell in cells)
    named = kinds.total() - kinds[None]
    if named < MOST * kinds.total():
        return None
    del kinds[None]
    kind, count = kinds.most_common(1)[0]
    if count < MOST * named:
        mixed = " and ".join(sorted(kind for kind in kinds if kind))
        return Guess("skip", f"mixes {mixed} files: give each kind a column of its own")
    assert kind is not None
    suffixes = Counter(cell.rpartition(".")[2].lower() for cell in cells)
    return Guess(
        kind, f"{count / len(cells):.0%} are names of .{suffixes.most_common(1)[0][0]} files"
    )


def _strings(name: str, cells: list[str]) -> Guess:
    rows, different = len(cells), len(set(cells))
    few = different <= FEW and different <= rows / 2
    for form, what, instead in (
        (_OTHER_DATE, "dates", "2024-01-31"),
        (_OTHER_NUMBER, "numbers", "1200.5"),
    ):
        if not few and sum(bool(form.fullmatch(cell.strip())) for cell in cells) >= MOST * rows:
            example = _short(cells[0])
            return Guess("skip", f"{what} such as {example} are ambiguous: write them as {instead}")
    words = sum(len(cell.split()) for cell in cells) / rows
    tokens = (len(cell.split()) == 1 and len(cell) <= 64 and "://" not in cell for cell in cells)
    single = sum(tokens) >= NEARLY_ALL * rows
    if single and different > RARE * rows and rows >= FEW:
        digits = sum(any(letter.isdigit() for letter in cell) for cell in cells)
        if digits > 0.6 * rows or _called_code(name):
            return Guess.identifier(f"an id: {different:,} different codes in {rows:,} cells")
    found = f"{different:,} different values in {rows:,} cells"
    sentences = sum(cell.rstrip().endswith((".", "?", "!")) for cell in cells) > rows / 2
    names = words < 1.5 and different <= rows / 2
    phrases = words <= 4 and different <= min(100, rows / 10)
    if (few or names or phrases) and not (sentences and words >= 3):
        return Guess("category", found)
    return Guess("text", f"{found}, {words:.1f} words on average")


def _short(value: Any) -> str:
    text = str(value)
    return f"'{text if len(text) <= 40 else text[:37] + '...'}'"


def lengths(column: pa.ChunkedArray) -> np.ndarray[Any, Any]:
    """Words of each cell, a list or a string cut at spaces; -1 where missing: `(rows,)`."""
    if is_list(column.type):
        counted = pc.list_value_length(column).fill_null(-1)
        return counted.to_numpy().astype(int)
    return np.array([-1 if cell is None else len(cell.split()) for cell in column.to_pylist()])
