"""A whole column's cells at once: read as numbers, words for nothing taken out, counted."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from polymodal.base.arrow import is_text
from polymodal.table import dates, numerals
from polymodal.table.reading import Reading


def read_column(data: pa.ChunkedArray, reading: Reading) -> tuple[pa.ChunkedArray, dict[int, str]]:
    """A column with its cells read, and why the rows whose cells are none count as missing.

    Texts become float64, timestamps, times or lists of float64; what is typed already stays.
    """
    kind = data.type
    if pa.types.is_floating(kind) and reading.what != "date":
        infinite = pc.fill_null(pc.is_inf(data), False)
        rows = np.flatnonzero(infinite.to_numpy())
        cleared = pc.if_else(infinite, pa.scalar(None, kind), data) if len(rows) else data
        return cleared, {int(row): "is infinite" for row in rows}
    digits = pa.types.is_integer(kind) or pa.types.is_floating(kind)
    compact = reading.what == "date" and digits
    if not is_text(kind) and not compact:
        return data, {}
    if reading.what == "number" and not reading.units and reading.decimal == ".":
        try:
            cast = pc.cast(pc.utf8_trim_whitespace(data), pa.float64())
            if not pc.any(pc.is_inf(cast)).as_py():
                return pc.if_else(pc.is_nan(cast), pa.scalar(None, cast.type), cast), {}
        except pa.ArrowInvalid:
            pass
    encoded = data.combine_chunks().dictionary_encode()
    values, why = [], {}
    for i, cell in enumerate(encoded.dictionary.to_pylist()):
        try:
            values.append(reading.value(cell))
        except ValueError as error:
            values.append(None)
            why[i] = str(error)
    codes = encoded.indices
    several = pa.list_(pa.float64(), reading.parts)
    found = pa.array(values, _TYPES.get(reading.what, several)).take(codes)
    known = codes.fill_null(-1).to_numpy(zero_copy_only=False)
    odd = {int(row): why[known[row]] for row in np.flatnonzero(np.isin(known, list(why)))}
    return pa.chunked_array([found]), odd


def blanked(data: pa.ChunkedArray, words: Iterable[str]) -> pa.ChunkedArray:
    """A column with null where a cell is one of these words, or the number or date that it says."""
    gone, kind, types = list(words), data.type, pa.types
    if not gone:
        return data
    if is_text(kind):
        # Programs write -1 as -1.0 where other cells have decimals.
        gone += [f"{word.strip()}.0" for word in gone if re.fullmatch(r"\s*-?\d+\s*", word)]
        cells = pc.utf8_trim_whitespace(data.cast(pa.large_string()))
        missing = pc.is_in(cells, pa.array(gone, pa.large_string()))
    elif types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind):
        numbers = [n for w in gone if (n := numerals.plain(w)) is not None and math.isfinite(n)]
        missing = pc.is_in(data.cast(pa.float64(), safe=False), pa.array(numbers, pa.float64()))
    elif types.is_date(kind) or types.is_timestamp(kind):
        moments = [m for word in gone if (m := dates.moment(word, "ymd")) is not None]
        cells = data.cast(pa.timestamp("us"), safe=False)
        missing = pc.is_in(cells, pa.array(moments, pa.timestamp("us")))
    else:
        return data
    return pc.if_else(missing, pa.scalar(None, kind), data)


_TYPES = {
    "number": pa.float64(),
    "date": pa.timestamp("us"),
    "clock": pa.time64("us"),
    "span": pa.float64(),
}


def counted(data: pa.ChunkedArray) -> dict[str, int]:
    """Each text and how many cells have it, in order of appearance; blank ones are left out."""
    found = pc.value_counts(data.drop_null())
    texts, counts = found.field("values").to_pylist(), found.field("counts").to_pylist()
    return {text: n for text, n in zip(texts, counts, strict=True) if text.strip()}
