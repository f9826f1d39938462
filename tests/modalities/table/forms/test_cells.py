"""A row's cells as one vector: known answers, missing and unseen values, states that travel."""

from __future__ import annotations

import datetime
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polymodal.base.errors import UserError
from polymodal.contract.form import Slots
from polymodal.modalities.table.forms import cells as module
from polymodal.modalities.table.forms.cells import Cells

COLUMNS = [
    {"name": "n", "kind": "number"},
    {"name": "c", "kind": "category"},
    {"name": "s", "kind": "set"},
]
ROWS: list[dict[str, Any]] = [
    {"n": 10, "c": "red", "s": ["x", "y"]},
    {"n": "20", "c": "blue", "s": "x"},
    {"n": 40.0, "c": "red", "s": None},
    {"n": None, "c": None, "s": "z;x"},
]


def fitted(rows: list[dict[str, Any]] = ROWS, columns: Any = COLUMNS) -> Cells:
    form = Cells(columns=columns)
    form.fit(rows)
    return form


def test_known_rows() -> None:
    form = fitted()
    assert form.slots == [
        Slots("n", "number", 0, 1),
        Slots("c", "category", 1, 2, codes=3),
        Slots("s", "set", 2, 5),
    ]
    assert form.names("c") == ["red", "blue"] and form.names("s") == ["x", "y", "z"]
    found = [form.encode(row).tolist() for row in ROWS]
    nan = float("nan")
    np.testing.assert_equal(
        found,
        [
            [-10, 1, 1, 1, 0],
            [0, 2, 1, 0, 0],
            [20, 1, nan, nan, nan],
            [nan, 0, 1, 0, 1],
        ],
    )


def test_unseen_values_are_code_0_and_no_member() -> None:
    array = fitted().encode({"n": 20, "c": "green", "s": ["new"]})
    assert array.tolist() == [0, 0, 0, 0, 0] and array.dtype == np.float32


def test_a_row_means_the_same_from_csv_and_from_typed_sources() -> None:
    typed = [{"n": 1.5, "c": True, "s": ["1", "2"]}, {"n": 2, "c": False, "s": ["2"]}]
    spelled = [{"n": "1.5", "c": "True", "s": "1;2"}, {"n": "2", "c": "false", "s": "2"}]
    form = fitted(typed + spelled)
    for a, b in zip(typed, spelled, strict=True):
        np.testing.assert_array_equal(form.encode(a), form.encode(b))


@given(start=st.integers(0, 2_000_000_000), gap=st.integers(1, 3600))
def test_moments_keep_their_differences_in_float32(start: int, gap: int) -> None:
    rows = [{"t": start + i * gap} for i in range(5)]
    form = fitted(rows, [{"name": "t", "kind": "number"}])
    found = np.array([form.encode(row)[0] for row in rows])
    np.testing.assert_array_equal(np.diff(found), gap)


def test_huge_numbers_stay_finite() -> None:
    form = fitted([{"n": 1}, {"n": 2}], COLUMNS[:1])
    assert form.encode({"n": 1e300})[0] == -form.encode({"n": -1e300})[0] == np.float32(1e30)


@pytest.mark.parametrize(("cell", "why"), [("1.2.3", "neither"), ("inf", "infinite")])
def test_a_number_that_is_none_is_the_users_to_know(cell: str, why: str) -> None:
    with pytest.raises(UserError, match=rf"'n' holds '{cell}', which is {why}[\s\S]*kinds={{'n': "):
        fitted().encode({"n": cell, "c": None, "s": None})


def test_fit_leaves_broken_numbers_to_encode() -> None:
    rows = [{"n": 5}, {"n": "broken"}, {"n": 7}, {"n": None}]
    assert fitted(rows, COLUMNS[:1]).encode({"n": 6})[0] == 0


def test_rare_names_are_dropped_only_from_large_vocabularies(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "FEW", 3)
    column = [{"name": "c", "kind": "category"}]
    assert fitted([{"c": v} for v in "abb"], column).names("c") == ["b", "a"]
    assert fitted([{"c": v} for v in "abbccd"], column).names("c") == ["b", "c"]


def test_vocabularies_are_capped_at_the_most_frequent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_MEMBERS", 2)
    form = fitted([{"s": "a;b;c"}, {"s": "b;c"}, {"s": "c"}], [{"name": "s", "kind": "set"}])
    assert form.names("s") == ["c", "b"] and form.slots[0].stop == 2


def test_the_state_travels_through_json() -> None:
    form = fitted()
    other = Cells(columns=COLUMNS)
    assert other.fingerprint != form.fingerprint
    other.state = json.loads(json.dumps(form.state))
    assert other.fingerprint == form.fingerprint and other.slots == form.slots
    for row in ROWS:
        np.testing.assert_array_equal(other.encode(row), form.encode(row))


def test_before_fit_and_without_values_everything_is_missing() -> None:
    form = Cells(columns=COLUMNS)
    np.testing.assert_equal(form.encode({"n": None, "c": "x", "s": ["x"]}).tolist(), [np.nan, 0])
    form = fitted([{"n": None, "c": None, "s": None}])
    np.testing.assert_equal(form.encode({"n": None, "c": None, "s": None}).tolist(), [np.nan, 0])


def test_a_date_is_several_numbers() -> None:
    days = [datetime.date(2024, month, day) for month in (1, 7, 12) for day in (1, 9, 30)]
    form = fitted([{"t": day} for day in days], [{"name": "t", "kind": "number"}])
    kinds = [(slots.kind, slots.codes) for slots in form.slots]
    assert kinds == [("number", 0)] * 3 + [("category", 13), ("number", 0), ("category", 8)]
    elapsed, sine, cosine, month, day, weekday = form.encode({"t": datetime.date(2024, 7, 2)})
    assert (elapsed, month, day, weekday) == (1 - 8, 7, 2, 2)
    assert sine**2 + cosine**2 == pytest.approx(1)
    missing = form.encode({"t": None})
    assert [np.isnan(x) for x in missing] == [True, True, True, False, True, False]
    again = Cells(columns=[{"name": "t", "kind": "number"}])
    again.state = json.loads(json.dumps(form.state))
    np.testing.assert_array_equal(again.encode({"t": days[4]}), form.encode({"t": days[4]}))
    # What never differs is left out, and a moment may come as seconds.
    hours = [datetime.datetime(2024, 1, 1, hour) for hour in range(9)]
    form = fitted([{"t": hour} for hour in hours], [{"name": "t", "kind": "number"}])
    assert len(form.slots) == 4  # elapsed, hour, and its place on the circle
    seconds = (hours[5] - datetime.datetime(1970, 1, 1)).total_seconds()
    np.testing.assert_array_equal(form.encode({"t": seconds}), form.encode({"t": hours[5]}))


def test_several_numbers_in_a_cell_are_slots_each() -> None:
    form = fitted([{"n": [120.0, 80.0]}, {"n": None}], [{"name": "n", "kind": "number"}])
    assert form.encode({"n": [130.0, None]}).tolist()[0] == 130
    assert np.isnan(form.encode({"n": [130.0, None]})[1])
    assert np.isnan(form.encode({"n": None})).all()


@pytest.mark.parametrize(
    ("cells", "rows"),
    [
        ({"c": ["red", None, "green", "", " blue "]}, {"c": [2]}),
        ({"s": ["x;z", "w", None, "[]", ["x", "new"]]}, {"s": [1, 4]}),
        ({"c": ["red", "Red"], "s": ["y", "y;q"]}, {"c": [1], "s": [1]}),
        ({}, {}),
    ],
)
def test_rows_with_values_that_no_training_row_had(
    cells: dict[str, list[Any]], rows: dict[str, list[int]]
) -> None:
    """Missing cells have none, and any number is as good as another."""
    count = len(next(iter(cells.values()), []))
    table = {"n": [1e9] * count, "c": [None] * count, "s": [None] * count} | cells
    assert fitted().unlearned(table.__getitem__) == rows
