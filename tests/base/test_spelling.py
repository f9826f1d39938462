"""One spelling for what is one, and different ones for what differs."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polymodal.base.spelling import canonical, is_missing, several


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        ([True, "True", " TRUE ", np.bool_(True)], "true"),
        ([1, 1.0, "1", "1.000", np.float32(1), np.int8(1)], "1"),
        ([-0.0, "-0.0", 0, "0.0"], "0"),
        ([2.0**60, 2**60], str(2**60)),
        (["9" * 5000 + ".0"], "9" * 5000),
    ],
)
def test_one_spelling(cells: list[Any], expected: str) -> None:
    assert {canonical(cell) for cell in cells} == {expected}


@pytest.mark.parametrize(
    ("given", "expected"), [("note", ["note"]), (("a", "b"), ["a", "b"]), (None, []), ((), [])]
)
def test_a_lone_name_is_one_name(given: Any, expected: list[str]) -> None:
    assert several(given) == expected


@pytest.mark.parametrize("cell", ["1.10", "007", "01.0", "1e5", "1."])
def test_what_is_no_plain_whole_number_stays_as_it_is(cell: str) -> None:
    assert canonical(cell) == cell


@given(st.one_of(st.booleans(), st.integers(), st.floats(-1e15, 1e15), st.text(min_size=1)))
def test_it_is_stable(cell: Any) -> None:
    once = canonical(cell)
    assert canonical(once) == once == canonical(str(cell))


def test_missing() -> None:
    missing = (None, math.nan, np.float32("nan"), np.datetime64("NaT"), "", np.str_(" \n"))
    assert all(is_missing(cell) for cell in missing)
    assert not any(is_missing(cell) for cell in (0, False, np.int8(0), "nan", math.inf, [], "0"))
