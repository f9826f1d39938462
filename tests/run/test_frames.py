"""Predictions in the target's own type, and small tables for notebooks."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from polymodal.run.frames import are_rows, framed, html, typed


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        (["true", "false"], "bool", [True, False]),
        (["0", "12"], "int64", [0, 12]),
        (["0.5", "2"], "double", [0.5, 2.0]),
        (["true", "false"], "large_string", ["true", "false"]),
        (["1", "old"], "int64", ["1", "old"]),
        ([0.25, 7.5], "int64", [0.25, 7.5]),
        ([["a"], []], "list<item: string>", [["a"], []]),
    ],
)
def test_what_the_type_does_not_fit_stays(values: list[Any], kind: str, expected: Any) -> None:
    found = typed(values, kind)
    assert list(found) == expected
    assert [type(value) for value in found] == [type(value) for value in expected]


def test_dates_are_dates_again() -> None:
    day = 1_706_659_200.0
    assert list(typed([day], "timestamp[ns]")) == [pd.Timestamp("2024-01-31")]
    assert list(typed([day], "date32[day]")) == [pd.Timestamp("2024-01-31")]
    assert list(typed([day], "timestamp[us, tz=UTC]")) == [pd.Timestamp("2024-01-31", tz="UTC")]


def test_a_frame_keeps_its_index_and_booleans_their_type() -> None:
    like = pd.DataFrame({"x": [1, 2]}, index=["a", "b"])
    found = framed({"up": ["true", "false"], "up=true": [0.9, 0.2]}, like, {"up": "bool"})
    assert found.loc["a", "up"] and found["up"].dtype == bool and found["up=true"].dtype == float


def test_only_a_list_of_mappings_is_rows() -> None:
    assert are_rows([{"a": 1}]) and are_rows(({},))
    assert not are_rows([]) and not are_rows("rows") and not are_rows({"a": [1]})


def test_names_are_no_markup() -> None:
    assert "<b>" not in html("<b>", ["<b>"], [["<b>", 0.123456]])
    assert "0.1235" in html("", ["x"], [[0.123456]])
