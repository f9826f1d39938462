"""Tags of words: how cells spell them, and how many words of a text they label."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from polymodal.base.arrow import depth, is_list, is_text
from polymodal.table.cuts import CUTS
from polymodal.table.values import NEARLY_ALL, json_list

# What may stand between tags that are joined in one cell.
BETWEEN = (",", ";", "|")
_QUOTED = re.compile(r"'([^']*)'|\"([^\"]*)\"")


def listed(cell: Any) -> tuple[list[Any], str | None] | None:
    """The tags of a cell that is not missing, and what joins them; None if it spells none.

    A list, the same in JSON or as Python or NumPy prints it, or tags joined by spaces, commas,
    semicolons or bars.

    Returns:
        The tags, and what stands between those of a string that is no list; "" of a single one.
    """
    if isinstance(cell, list | tuple | np.ndarray):
        return list(cell), None
    if not isinstance(cell, str) or cell.lstrip().startswith("{"):
        return None
    text = cell.strip()
    if text.startswith("["):
        found = json_list(text)
        if found is None and text.endswith("]"):
            found = [one or other for one, other in _QUOTED.findall(text)] or None
        return None if found is None else (found, None)
    parts = text.split()
    if len(parts) > 1:
        mark = parts[0][-1]
        if mark in BETWEEN and all(p.endswith(mark) and len(p) > 1 for p in parts[:-1]):
            return [part.rstrip(mark) for part in parts], f"{mark} "
        return parts, " "
    mark = next((mark for mark in BETWEEN if mark in text.strip("".join(BETWEEN))), "")
    return (text.split(mark), mark) if mark else (parts, "")


def counts(column: pa.ChunkedArray) -> np.ndarray[Any, Any]:
    """Tags of each cell, `(rows,)`; -1 where it is missing or spells none."""
    if is_list(column.type):
        return pc.list_value_length(column).fill_null(-1).to_numpy().astype(int)
    found = (None if cell is None else listed(cell) for cell in column.to_pylist())
    return np.array([-1 if one is None else len(one[0]) for one in found], int)


def lengths(column: pa.ChunkedArray, cut: str | None) -> np.ndarray[Any, Any]:
    """Words of each cell, `(rows,)`; -1 where missing.

    Args:
        cut: one of CUTS, for strings.
    """
    if is_list(column.type):
        return counts(column)
    split = CUTS[cut or "spaces"]
    cells = column.to_pylist()
    return np.array([-1 if cell is None else len(split(str(cell))) for cell in cells], int)


def cut_for(tags: pa.ChunkedArray, texts: pa.ChunkedArray) -> str | None:
    """How texts are cut so that nearly all rows have as many words as tags; None if in no way.

    Nearly: a stray miscounted sentence is a mistake to report, not a reason to take tags for sets.
    """
    levels, inner = depth(texts.type)
    if levels > 1 or not is_text(inner):
        return None
    ours = counts(tags)
    for cut in CUTS:
        theirs = lengths(texts, cut)
        both = (ours >= 0) & (theirs >= 0)
        # A set of one label beside a column of single words is no sequence.
        equal = np.mean(ours[both] == theirs[both]) if both.any() else 0.0
        if equal >= NEARLY_ALL and ours.max() > 1:
            return cut
        if levels == 1:
            break
    return None
