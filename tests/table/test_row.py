"""One row or a table: a mapping whose values are lists or arrays can be either."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from polymodal.table.row import is_row
from polymodal.table.schema import Column

INPUTS = [
    Column("picture", "image"),
    Column("sound", "audio"),
    Column("clip", "video"),
    Column("signal", "series"),
    Column("trio", "series"),
    Column("note", "text"),
    Column("words", "text", details={"words": True}),
    Column("tags", "set"),
    Column("level", "number"),
]
CHANNELS = {"signal": 1, "trio": 3}
RGB, GREY = np.zeros((8, 6, 3), np.uint8), np.zeros((8, 6), np.uint8)

ROWS: list[dict[str, Any]] = [
    {},
    {"note": "calm", "level": 3},
    {"picture": RGB},
    {"picture": GREY},
    {"sound": np.zeros(50)},
    {"clip": np.zeros((2, 8, 6, 3), np.uint8)},
    {"signal": [1, 2, 3]},
    {"trio": [[1, 2, 3], [4, 5, 6]]},
    {"trio": np.zeros((3, 10))},
    {"signal": [1.0, 2.0], "picture": RGB},
    {"words": ["EU", "rejects"]},
    {"tags": ["red", "tall"], "picture": RGB},
    {"picture": RGB, "note": "calm"},
    {"picture": b"bytes"},
]
TABLES: list[Any] = [
    {"picture": ["a.png", "b.png"]},
    {"picture": np.zeros((4, 8, 6, 3), np.uint8)},
    {"picture": [GREY, GREY]},
    {"sound": [np.zeros(5), np.zeros(6)]},
    {"sound": ["a.wav"]},
    {"signal": [[1, 2, 3], [4, 5, 6]]},
    {"signal": [[1, 2, 3], [4, 5]]},
    {"trio": np.zeros((2, 10, 3))},
    {"trio": [np.zeros((10, 3)), np.zeros((9, 3))]},
    {"note": ["calm", "wild"]},
    {"words": [["EU", "rejects"], ["calm"]]},
    {"tags": [["red"], ["tall", "red"]]},
    {"level": [1, 2]},
    {"level": pd.Series([1, 2])},
    {"signal": [1, 2], "level": [1, 2]},
    {"other": [1, 2]},
    [{"note": "calm"}],
    "rows.csv",
]


@pytest.mark.parametrize("source", ROWS, ids=range(len(ROWS)))
def test_a_row(source: dict[str, Any]) -> None:
    assert is_row(source, INPUTS, CHANNELS)


@pytest.mark.parametrize("source", TABLES, ids=range(len(TABLES)))
def test_a_table(source: Any) -> None:
    assert not is_row(source, INPUTS, CHANNELS)
