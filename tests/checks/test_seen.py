"""Rows that were learned from are known again by content, whatever the table they stand in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from polymodal.checks.seen import NONE, again, said, seen
from polymodal.prepared.cache import default_folder
from polymodal.prepared.cells import Contents
from polymodal.table.infer import infer
from polymodal.table.read import Table, read
from polymodal.table.schema import Schema


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLYMODAL_CACHE", str(tmp_path / "cache"))


def opened(frame: pd.DataFrame) -> tuple[Table, Schema]:
    table = read(frame)
    return table, infer(table, ["label"], {}, [], None)


def hashed(table: Table) -> Contents:
    return Contents(table, default_folder())


def pictures(folder: Path, seed: int) -> pd.DataFrame:
    folder.mkdir()
    rng = np.random.default_rng(seed)
    for i in range(12):
        Image.fromarray(rng.integers(0, 255, (4, 4, 3)).astype(np.uint8)).save(folder / f"{i}.png")
    paths = [str(folder / f"{i}.png") for i in range(12)]
    return pd.DataFrame({"photo": paths, "x": rng.normal(size=12), "label": ["a", "b"] * 6})


def test_pictures_are_known_by_what_they_show_not_by_their_path(tmp_path: Path) -> None:
    table, schema = opened(pictures(tmp_path / "one", 0))
    known = seen(hashed(table), schema)
    copies, others = pictures(tmp_path / "two", 0), pictures(tmp_path / "three", 1)
    mixed = pd.concat([others[:5], copies[3:6], others[5:]])
    assert again(read(mixed), schema, known).tolist() == [5, 6, 7]
    assert again(read(others), schema, known).tolist() == []


def test_a_label_or_an_id_that_changed_hides_no_row(tmp_path: Path) -> None:
    frame = pictures(tmp_path / "one", 0).assign(id=[f"row-{i}" for i in range(12)])
    table = read(frame)
    schema = infer(table, ["label"], {}, ["id"], None)
    other = frame.assign(id=[f"new-{i}" for i in range(12)], label="a").sample(
        frac=1, random_state=0
    )
    assert len(again(read(other), schema, seen(hashed(table), schema))) == 12


def test_rows_of_few_values_are_equal_by_chance() -> None:
    rng = np.random.default_rng(0)

    def drawn(rows: int) -> pd.DataFrame:
        colours = rng.choice(["red", "green", "blue"], rows)
        return pd.DataFrame(
            {"c": colours, "d": rng.choice(["up", "down"], rows), "label": "ab" * (rows // 2)}
        )

    table, schema = opened(drawn(60).assign(label=["a", "b"] * 30))
    assert (
        again(read(drawn(60).assign(label="a")), schema, seen(hashed(table), schema)).tolist() == []
    )


def test_numbers_with_decimals_are_known_again() -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(50, 3)), columns=list("xyz")).assign(
        label=["a", "b"] * 25
    )
    table, schema = opened(frame)
    fresh = pd.DataFrame(rng.normal(size=(50, 3)), columns=list("xyz")).assign(label="a")
    known = seen(hashed(table), schema)
    assert again(read(pd.concat([fresh, frame[:9]])), schema, known).tolist() == list(range(50, 59))
    assert again(read(fresh), schema, known).tolist() == []


def test_a_row_of_nothing_is_no_copy(tmp_path: Path) -> None:
    frame = pictures(tmp_path / "one", 0).astype(object)
    frame.loc[2, "photo"] = None
    table, schema = opened(frame)
    known = seen(hashed(table), schema)
    assert known.rows[2] == NONE and (known.rows != NONE).sum() == 11
    assert 2 not in again(read(frame), schema, known)


def test_it_is_said_with_the_count_and_where() -> None:
    assert said([4, 7, 8, 9], 300, "test.csv") == [
        "4 of 300 rows of test.csv were trained or validated on (row 4, 7, 8, ...): on them a "
        "model is measured by memory. Measure on other rows"
    ]
    assert said([], 300, "test.csv") == []
