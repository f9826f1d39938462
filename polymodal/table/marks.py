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
from polymodal.table.nothing import is_word
from polymodal.table.reading import counted

# So many different cells of a column are looked at to see whether they are numbers, so many for
# their mark, and no more once so many have shown it.
SAMPLE, LOOKED, ENOUGH = 50, 5000, 20
# Share of them that must be numbers.
MOST = 0.8
_EITHER = re.compile(r"[^\d.,]*\d{1,3}[.,]\d{3}\D*")
# The same, a little wider, for Arrow: whole columns are asked whether any cell has the shape.
_SHAPED = r"^[^0-9.,]*[0-9]{1,3}[.,][0-9]{3}[^0-9]*$"


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
    shown: dict[str, str] = {}
    either: dict[str, str] = {}
    texts = {n: c for n, c in columns.items() if n not in stated and is_text(c.type)}
    if not any(pc.any(pc.match_substring_regex(c, _SHAPED)).as_py() for c in texts.values()):
        return {mark: name for name, mark in stated.items()}, {}  # nobody needs to know
    for name, column in columns.items():
        if name in stated:
            shown.setdefault(stated[name], name)
        elif name in texts:
            mark, example = _shown(column)
            if mark:
                shown.setdefault(mark, name)
            elif example:
                either[name] = example
    return shown, either


def _shown(column: pa.ChunkedArray) -> tuple[str | None, str | None]:
    """The mark that a column shows beyond doubt, or else a cell that could have either."""
    counts = counted(column)
    known = [text for text in counts if not is_word(text)]
    some = known[:SAMPLE]
    if not some or sum(map(_is_number, some)) < MOST * len(some):
        return None, None
    votes = {",": 0, ".": 0}
    example, shows = None, 0
    for text in known[:LOOKED]:
        mark = numerals.marks(text)
        if mark is not None:
            votes[mark] += counts[text]
            shows += 1
            if shows == ENOUGH:
                break
        elif example is None and _EITHER.fullmatch(text.strip()):
            example = text
    if votes[","] or votes["."]:
        # As `numbers` decides for the column itself.
        return ("," if votes[","] > votes["."] else "."), None
    return None, example


def _is_number(text: str) -> bool:
    """Whether a cell has the shape of one number, and of no date."""
    return numerals.unit(text) is not None and dates.moment(text, "dmy") is None
