"""One meaning for a cell, whatever source spelled it."""

from __future__ import annotations

import datetime
import decimal
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polymodal.table.values import category, members, number, separator


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_and_its_spelling_are_one(value: float) -> None:
    assert number(value) == number(repr(value)) == number(f"  {value!r} ") == value


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        (True, 1.0),
        (np.int64(7), 7.0),
        (decimal.Decimal("1.5"), 1.5),
        ("-1e3", -1000.0),
        ("20240131", 20240131.0),
        ("1970-01-02", 86400.0),
        ("1970-01-01T01:00:00Z", 3600.0),
        ("1970-01-01 01:00:00+01:00", 0.0),
        (datetime.date(1970, 1, 2), 86400.0),
        (datetime.datetime(1970, 1, 1, 0, 1), 60.0),
        (datetime.timedelta(minutes=2), 120.0),
    ],
)
def test_known_numbers(cell: Any, expected: float) -> None:
    assert number(cell) == expected


@pytest.mark.parametrize("cell", [None, "", "  ", "nan", math.nan, np.float32("nan")])
def test_missing_numbers_are_nan(cell: Any) -> None:
    assert math.isnan(number(cell))


@pytest.mark.parametrize(
    ("cell", "why"),
    [
        ("1.2.3", "neither a number nor a date"),
        ("A12", "neither a number nor a date"),
        ("1_000", "neither a number nor a date"),
        ("abc", "neither a number nor a date"),
        ("31/02/2024", "neither a number nor a date"),
        ("inf", "infinite"),
        ("1e999", "infinite"),
        (-math.inf, "infinite"),
        ([1], "not a number"),
    ],
)
def test_what_is_no_number_says_why(cell: Any, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        number(cell)


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        ([True, "True", "true", "TRUE", np.bool_(True)], "true"),
        ([1, 1.0, "1", "1.0", np.float32(1)], "1"),
        ([-3, "-3.00"], "-3"),
        (["01"], "01"),
        (["01.0"], "01.0"),
        (["1.5", 1.5], "1.5"),
        ([" red ", "red"], "red"),
        ([None, math.nan, np.float32("nan"), "", " "], None),
    ],
)
def test_a_category_has_one_spelling(cells: list[Any], expected: str | None) -> None:
    assert {category(cell) for cell in cells} == {expected}


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("a; b;;a", ["a", "b"]),
        ('["a", 1.0, null]', ["a", "1"]),
        (["a", None, "a"], ["a"]),
        (np.array(["x", "y"]), ["x", "y"]),
        ("", []),
        (7, ["7"]),
        (None, None),
    ],
)
def test_members_of_a_set(cell: Any, expected: list[str] | None) -> None:
    assert members(cell, ";") == expected


def test_the_separator_is_the_one_most_cells_have() -> None:
    assert separator(["a|b", "c|d", "e, f"]) == "|"
    assert separator(["a, b", "c", None]) == ","
    assert separator(["a", ["x;y"], '["p;q"]']) is None
    assert members("a;b", None) == ["a", "b"]
    # A mark that names have in them parts only what comes back.
    pairs = ["red/blue", "red", "blue/green", "green/red", "blue", "green/blue"]
    assert separator(pairs) == "/"
    assert separator(["AC/DC", "R&B", "rock"]) is None
    assert separator([*pairs, "red;blue"]) == ";"
