"""Splits are proportional, leak nothing, and are the same for the same seed."""

from __future__ import annotations

import datetime
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polymodal.base.errors import UserError
from polymodal.checks.split import PERIODS, folds, split, together
from polymodal.prepared.cache import default_folder
from polymodal.prepared.cells import Contents
from polymodal.table.infer import infer
from polymodal.table.read import Table
from polymodal.table.schema import Column, Schema
from polymodal.table.typed import Stated


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLYMODAL_CACHE", str(tmp_path_factory.mktemp("cache")))


def table(**columns: Any) -> Table:
    return Table(pa.table(columns), None, "train.csv")


def schema(kind: str = "category", group: str | None = None) -> Schema:
    return Schema((Column("x", "text"),), (Column("y", kind),), group)


def data(labels: Any, **more: Any) -> Table:
    return table(x=[f"text {i}" for i in range(len(labels))], y=list(labels), **more)


def is_partition(n: int, *parts: np.ndarray[Any, Any]) -> bool:
    return sorted(np.concatenate(parts).tolist()) == list(range(n))


def test_classes_keep_their_shares() -> None:
    labels = ["a"] * 700 + ["b"] * 250 + ["c"] * 50
    train, valid = split(data(labels), schema(), valid=0.2)
    assert is_partition(1000, train, valid) and len(valid) == 200
    counts = Counter(labels[i] for i in valid)
    assert counts == {"a": 140, "b": 50, "c": 10}


def test_random_ignores_the_classes_but_keeps_the_share() -> None:
    labels = ["a"] * 500 + ["b"] * 500
    shares = set()
    for seed in range(5):
        train, valid = split(data(labels), schema(), "random", valid=0.2, seed=seed)
        assert is_partition(1000, train, valid) and len(valid) == 200
        shares.add(sum(labels[i] == "a" for i in valid))
    assert len(shares) > 1


def test_the_same_seed_gives_the_same_split_and_another_another() -> None:
    some = data(["a", "b"] * 100)
    first, again, other = (split(some, schema(), seed=s)[1].tolist() for s in (1, 1, 2))
    assert first == again != other


@settings(max_examples=60, deadline=None)
@given(
    labels=st.lists(st.sampled_from("abcdefgh"), min_size=20, max_size=80),
    valid=st.floats(0.05, 0.5),
    seed=st.integers(0, 5),
)
def test_every_class_is_trained_on(labels: list[str], valid: float, seed: int) -> None:
    train, held = split(data(labels), schema(), valid=valid, seed=seed)
    assert is_partition(len(labels), train, held) and len(held)
    assert {labels[i] for i in train} == set(labels)


def test_where_chance_holds_out_the_only_row_of_a_class_another_row_is_spared() -> None:
    labels = list("bdaaaaaaaccccccdacdd")
    train, held = split(data(labels), schema(), valid=0.05, seed=0)
    assert len(held) == 1 and labels[held[0]] != "b" and 0 in train


def test_a_class_of_the_second_target_is_trained_on_too() -> None:
    both = Schema((Column("x", "text"),), (Column("y", "category"), Column("z", "set")))
    for seed in range(20):
        some = data(["a", "b"] * 10, z=[["common"]] * 19 + [["common", "rare"]])
        train, _ = split(some, both, valid=0.5, seed=seed)
        assert 19 in train


def test_many_rare_classes_still_leave_validation_rows() -> None:
    labels = [f"class {i // 3}" for i in range(300)]
    _, valid = split(data(labels), schema(), valid=0.15)
    assert 35 <= len(valid) <= 50


def test_numbers_are_spread_by_their_quantiles() -> None:
    values = np.random.default_rng(0).lognormal(size=1000)
    for seed in range(5):
        train, valid = split(data(values), schema("number"), valid=0.2, seed=seed)
        assert is_partition(1000, train, valid)
        deciles = np.searchsorted(np.quantile(values, np.arange(0.1, 1, 0.1)), values[valid])
        assert Counter(deciles.tolist()) == dict.fromkeys(range(10), 20)


def test_rows_with_equal_inputs_stay_together() -> None:
    texts = [f"text {i % 80}" for i in range(100)]
    for seed in range(5):
        train, valid = split(table(x=texts, y=["a", "b"] * 50), schema(), valid=0.3, seed=seed)
        assert not {texts[i] for i in train} & {texts[i] for i in valid}


@pytest.mark.parametrize("copies", [2, 3])
@pytest.mark.parametrize("words", ["", " and nine more words that make it a long text"])
def test_copies_stay_together_however_many_rows_have_them(copies: int, words: str) -> None:
    texts = [f"text {i // copies}{words}" for i in range(360)]
    train, valid = split(table(x=texts, y=["a", "b"] * 180), schema(), valid=0.2)
    assert 60 <= len(valid) <= 80
    assert not {texts[i] for i in train} & {texts[i] for i in valid}
    for inner, outer in folds(table(x=texts, y=["a", "b"] * 180), schema(), 3):
        assert not {texts[i] for i in inner} & {texts[i] for i in outer}


def test_one_picture_under_two_names_stays_on_one_side(tmp_path: Path) -> None:
    content = [i % 40 for i in range(80)]
    names = [f"{i}.png" for i in range(80)]
    for name, one in zip(names, content, strict=True):
        (tmp_path / name).write_bytes(bytes([one] * 9))
    found = Schema((Column("x", "image"),), (Column("y", "category"),))
    data = Table(pa.table({"x": names, "y": ["a", "b"] * 40}), str(tmp_path), "train.csv")
    train, valid = split(data, found, valid=0.3)
    assert len(valid) == 24
    assert not {content[i] for i in train} & {content[i] for i in valid}


def test_rounded_measurements_are_not_taken_for_copies() -> None:
    numbers = np.random.default_rng(0).normal(size=400).round(1).tolist()
    found = Schema((Column("x", "number"),), (Column("y", "category"),))
    train, valid = split(table(x=numbers, y=["a", "b"] * 200), found, valid=0.2)
    assert {numbers[i] for i in train} & {numbers[i] for i in valid}


def test_two_categories_are_not_taken_for_copies() -> None:
    xor = Schema((Column("a", "category"), Column("b", "category")), (Column("y", "category"),))
    a, b = [0, 0, 1, 1] * 50, [0, 1, 0, 1] * 50
    both = table(a=a, b=b, y=[i ^ j for i, j in zip(a, b, strict=True)])
    _, valid = split(both, xor, valid=0.2)
    assert {(a[i], b[i]) for i in valid} == {(0, 0), (0, 1), (1, 0), (1, 1)}


@settings(max_examples=40, deadline=None)
@given(
    groups=st.lists(st.integers(0, 15), min_size=20, max_size=100).filter(
        lambda g: len(set(g)) > 5
    ),
    seed=st.integers(0, 3),
)
def test_groups_are_never_split_apart(groups: list[int], seed: int) -> None:
    some = data(["a", "b"] * (len(groups) // 2) + ["a"] * (len(groups) % 2), g=groups)
    train, valid = split(some, schema(group="g"), valid=0.2, seed=seed)
    assert is_partition(len(groups), train, valid)
    assert not {groups[i] for i in train} & {groups[i] for i in valid}
    for inner, outer in folds(some, schema(), 4, group="g", seed=seed):
        assert not {groups[i] for i in inner} & {groups[i] for i in outer}


def test_a_group_counts_whatever_the_split() -> None:
    groups = [i // 4 for i in range(100)]
    some = data(["a", "b"] * 50, g=groups)
    for how in ("random", "stratified", "group"):
        train, valid = split(some, schema(), how, valid=0.2, group="g")
        assert len(valid) == 20 and not {groups[i] for i in train} & {groups[i] for i in valid}


def test_groups_keep_share_and_classes_as_well_as_they_allow() -> None:
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(100), rng.integers(1, 20, 100))
    labels = np.where(rng.random(100)[groups] < 0.3, "a", "b")
    _, valid = split(data(labels, g=groups), schema(group="g"), valid=0.2)
    assert abs(len(valid) / len(groups) - 0.2) < 0.01
    assert abs(np.mean(labels[valid] == "a") - np.mean(labels == "a")) < 0.02


def test_folds_validate_every_row_once_with_the_same_shares() -> None:
    labels = ["a"] * 60 + ["b"] * 30 + ["c"] * 10
    parts = folds(data(labels), schema(), 5)
    assert is_partition(100, *(valid for _, valid in parts))
    for train, valid in parts:
        assert is_partition(100, train, valid)
        assert Counter(labels[i] for i in valid) == {"a": 12, "b": 6, "c": 2}


def test_by_time_the_latest_rows_are_for_validation_and_ties_stay_together() -> None:
    days = [f"2024-01-{1 + i % 20:02d}" for i in range(100)]
    some = data(["a", "b"] * 50, day=days)
    for how in ("time", "auto"):
        train, valid = split(some, schema(), how, valid=0.2, time="day")
        assert is_partition(100, train, valid) and len(valid) == 20
        assert max(days[i] for i in train) < min(days[i] for i in valid)


def test_folds_by_time_train_on_the_past_only() -> None:
    times = np.random.default_rng(0).permutation(120).tolist()
    parts = folds(data(["a", "b"] * 60, t=times), schema(), 3, time="t")
    for i, (train, valid) in enumerate(parts):
        assert max(times[r] for r in train) < min(times[r] for r in valid)
        assert len(train) == 30 * (i + 1) and len(valid) == 30


def test_rows_without_target_are_split_too() -> None:
    labels = ["a", "b", None, None] * 25
    train, valid = split(data(labels), schema(), valid=0.2)
    assert is_partition(100, train, valid)
    assert Counter(labels[i] for i in valid) == {"a": 5, "b": 5, None: 10}


@pytest.mark.parametrize(
    ("message", "arguments"),
    [
        ("no split 'tme'", {"how": "tme"}),
        ("between 0 and 1", {"valid": 1.0}),
        ("too few different values of 'one'", {"group": "one"}),
        ("'some' of train.csv has 1 missing", {"group": "some"}),
        ("needs a group", {"how": "group"}),
        ("needs a column of times", {"how": "time"}),
        ("have the same time", {"time": "one"}),
        ("'some' of train.csv has 1 missing", {"time": "some"}),
        ("neither a number nor a date", {"time": "x"}),
        ("no column 'nothing'", {"group": "nothing"}),
    ],
)
def test_what_cannot_be_split_is_an_error(message: str, arguments: dict[str, Any]) -> None:
    some = data(["a", "b"] * 5, one=[7] * 10, some=[None, *range(9)])
    with pytest.raises(UserError, match=message):
        split(some, schema(), **arguments)


def test_too_few_rows_are_an_error() -> None:
    with pytest.raises(UserError, match="one row"):
        split(data(["a"]), schema())
    with pytest.raises(UserError, match="too few rows of each class"):
        split(data(["a", "b"]), schema())
    with pytest.raises(
        UserError, match=r"too few different rows[\s\S]*at least 5[\s\S]*fewer folds"
    ):
        folds(data(["a", "b", "a"]), schema(), 5)
    with pytest.raises(UserError, match="at least 2"):
        folds(data(["a", "b", "a"]), schema(), 1)
    with pytest.raises(UserError, match="too few different times for 3 folds"):
        folds(data(["a", "b"] * 10, t=[1, 2] * 10), schema(), 3, time="t")


def hashed(rows: Table) -> Contents:
    return Contents(rows, default_folder())


# -- inside the training rows ------------------------------------------------------------------


def test_copies_are_not_cut_apart_inside_training_rows() -> None:
    twice = table(x=[f"a long enough text {i // 2}" for i in range(40)], y=["a", "b"] * 20)
    found = together(hashed(twice), schema())
    assert found is not None and found.tolist() == np.repeat(np.arange(20), 2).tolist()


def test_independent_rows_have_nothing_in_common() -> None:
    assert together(hashed(data(["a", "b"] * 20)), schema()) is None


def test_neighbours_in_time_are_not_cut_apart() -> None:
    moments = np.random.default_rng(0).permutation(np.repeat(np.arange(300), 2))
    found = together(hashed(data(["a"] * 600, when=moments.tolist())), schema(), time="when")
    assert found is not None and len(set(found.tolist())) == PERIODS
    # Periods follow each other, and a moment is in one of them.
    assert (np.diff(found[np.argsort(moments)]) >= 0).all()
    assert all(len(set(found[moments == m].tolist())) == 1 for m in range(300))


@pytest.mark.parametrize(("order", "latest"), [("mdy", "2/29/2024"), ("dmy", "29/2/2024")])
def test_a_time_that_no_model_reads_is_read_as_it_is_written(order: str, latest: str) -> None:
    days = [datetime.date(2024, 1, 1) + datetime.timedelta(i) for i in range(60)]
    shape = "{0.month}/{0.day}/{0.year}" if order == "mdy" else "{0.day}/{0.month}/{0.year}"
    times = [shape.format(day) for day in days]
    assert times[-1] == latest
    columns = {"when": times, "x": [i * 7 % 11 / 3 for i in range(60)], "y": ["a", "b"] * 30}
    table = Table(pa.table(columns), None, "data.csv")
    schema = infer(table, ["y"], stated=Stated(date={"when": order}))
    for found in (infer(table, ["y"]), infer(table, ["y"], drop=["when"]), schema):
        assert "when" in found.skipped
        assert Schema.from_json(json.loads(json.dumps(found.to_json()))) == found
        assert split(table, found, time="when", valid=0.1)[1].tolist() == list(range(54, 60))


def test_a_stated_order_holds_for_a_time_that_no_model_reads() -> None:
    times = [f"{1 + i % 12}/{1 + i // 12}/2024" for i in range(60)]
    columns = {"when": times, "x": [i * 7 % 11 / 3 for i in range(60)], "y": ["a", "b"] * 30}
    table = Table(pa.table(columns), None, "data.csv")
    for order, last in (("dmy", [55, 56, 57, 58, 59]), ("mdy", [11, 23, 35, 47, 59])):
        schema = infer(table, ["y"], drop=["when"], stated=Stated(date={"when": order}))
        assert split(table, schema, time="when", valid=5 / 60)[1].tolist() == last
        assert schema.reads["when"]["what"] == "date"
