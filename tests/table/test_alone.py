"""One cell is read as a column of it is."""

from __future__ import annotations

from datetime import date, datetime

import pyarrow as pa
import pytest

from polymodal.table import alone
from polymodal.table.columns import blanked, read_column
from polymodal.table.readers.plain import plain
from polymodal.table.reading import Reading

READINGS = [
    Reading(),
    Reading(decimal=","),
    Reading("date"),
    Reading("date", order="mdy"),
    Reading("clock"),
    Reading("span"),
    Reading("several", parts=2),
    Reading(units={"€": 1.0, "k€": 1000.0}, missing=("99",)),
]
TEXTS = [
    *("1", " 2.5 ", "1e3", "6,174", "6.174", "-3", "nan", "NA", "n/a", "-", "inf", "1e999"),
    *("2024-01-31", "3/4/2024", "31.12.2023 14:05", "14:05", "2 h 5 min", "120/80", "120/x"),
    *("€ 1,200.50", "3 k€", "99", "red", "<NA>", "#N/A", "20240131"),
]


@pytest.mark.parametrize("reading", READINGS, ids=repr)
def test_numbers_and_dates_as_in_a_column(reading):
    for text in [*TEXTS, 20240131, 2.5, float("inf"), float("nan")]:
        column = plain(pa.chunked_array([pa.array([text])]))
        read, odd = read_column(column, reading)
        held = alone.held(text)
        found, why = None, {}
        try:
            found = None if held is None else alone.number(held, reading)
        except ValueError as error:
            why = {0: str(error)}
        assert (found, why) == (read[0].as_py(), odd), text


@pytest.mark.parametrize(
    "cell", ["-1", "-1.0", " -1 ", "none", -1, -1.0, 2.0, date(2024, 1, 2), datetime(1900, 1, 1)]
)
def test_words_for_nothing_as_in_a_column(cell):
    words = ["-1", "none", "2024-01-02", "1900-01-01"]
    column = blanked(pa.chunked_array([pa.array([cell])]), words)
    assert alone.is_blank(cell, words) == (column[0].as_py() is None)


@pytest.mark.parametrize("cell", ['["a", "b"]', "['a', 'b']", "[1, 2]", "[a]", "a;b", "[", "[]"])
def test_lists_as_in_a_column(cell):
    column = plain(pa.chunked_array([pa.array([cell])]))
    assert alone.items(cell) == column[0].as_py()
