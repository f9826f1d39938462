"""Which decimal mark a table is written with: one column's cells are evidence for its neighbours.

"10.685" alone is ten and a half or ten thousand; beside a column of "12,50" it is ten thousand.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc

from polymodal.base.arrow import is_text
from polymodal.table import dates, numerals
from polymodal.table.columns import counted
from polymodal.table.nothing import is_word

# Cells at a column's start that tell whether it is of numbers, and which mark it shows.
HEAD, SAMPLE, NUMBERS = 500, 50, 20
# Share of them that must be numbers.
MOST = 0.8
_EITHER = re.compile(r"[^\d.,]*\d{1,3}[.,]\d{3}\D*")


def leaning(
    columns: Mapping[str, pa.ChunkedArray], stated: Mapping[str, str]
) -> tuple[dict[str, str], dict[str, str]]:
    """What the columns of a table show.

    Args:
        columns: name -> cells.
        stated: column -> its decimal mark, as the user says.

    Returns:
        Mark -> the first column that shows it; and column -> one of its cells, of the columns whose
        cells could have either mark.
    """
    texts = {n: c for n, c in columns.items() if n not in stated and is_text(c.type)}
    found = {name: _shown(column) for name, column in texts.items() if _may_be_open(column)}
    either = {name: example for name, (_, example) in found.items() if example}
    if not either:
        return {}, {}  # and nobody need ask the others
    shown: dict[str, str] = {}
    for name, column in columns.items():
        mark = stated[name] if name in stated else _shown(column)[0] if name in texts else None
        if mark:
            shown.setdefault(mark, name)
    return shown, either


def _may_be_open(column: pa.ChunkedArray) -> bool:
    """Whether some cell of a column has a mark, and none of the first ones shows which it is."""
    if not _has_mark(column):
        return False
    head = [cell for cell in column.slice(0, NUMBERS).to_pylist() if cell is not None]
    return all(numerals.marks(cell) is None for cell in head)


def _has_mark(column: pa.ChunkedArray) -> bool:
    return bool(pc.any(pc.match_substring_regex(column, "[.,]")).as_py())


def _shown(column: pa.ChunkedArray) -> tuple[str | None, str | None]:
    """The mark that a column shows beyond doubt, or else a cell that could have either."""
    some = list(_known(column.slice(0, HEAD)).items())[:SAMPLE]
    tried = [_is_number(text) for text, _ in some[:NUMBERS]]
    if not some or sum(tried) < MOST * len(tried):
        return None, None
    mark, _ = _voted(dict(some))
    # What some cells leave open another may tell.
    if mark is None and _has_mark(column):
        return _voted(_known(column))
    return mark, None


def _known(column: pa.ChunkedArray) -> dict[str, int]:
    """Its different cells that say something, and how many there are of each."""
    return {text: count for text, count in counted(column).items() if not is_word(text)}


def _voted(counts: Mapping[str, int]) -> tuple[str | None, str | None]:
    """As `_shown`, of some cells."""
    votes = {",": 0, ".": 0}
    example = None
    for text, count in counts.items():
        mark = numerals.marks(text)
        if mark is not None:
            votes[mark] += count
        elif example is None and _EITHER.fullmatch(text.strip()):
            example = text
    if votes[","] or votes["."]:
        # As `numbers` decides for the column itself.
        return ("," if votes[","] > votes["."] else "."), None
    return None, example


def _is_number(text: str) -> bool:
    """Whether a cell has the shape of one number, and of no date."""
    return numerals.unit(text) is not None and dates.moment(text, "dmy") is None
