"""A column's decimal mark where its own cells leave it open: its neighbours tell."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pytest

from polymodal.checks._doubts import doubts
from polymodal.table.infer import infer, validate
from polymodal.table.read import Table
from polymodal.table.typed import Stated, typed

RANDOM = random.Random(0)
ROWS = 60
ENGLISH = [f"{i}.{25 + i % 50}" for i in range(ROWS)]
GERMAN = [cell.replace(".", ",") for cell in ENGLISH]
DOTS = ["10.685", *(f"{RANDOM.randint(1, 99)}.{RANDOM.randint(100, 999)}" for _ in range(59))]
COMMAS = [cell.replace(".", ",") for cell in DOTS]
LABEL = ["yes", "no"] * (ROWS // 2)


def table_of(**columns: Sequence[Any]) -> Table:
    return Table(pa.table({n: pa.array(c) for n, c in columns.items()}), None, "made.csv")


@pytest.mark.parametrize(
    ("cells", "others", "means"),
    [
        (DOTS, {"price": GERMAN}, 10685),
        (DOTS, {"price": ENGLISH}, 10.685),
        (DOTS, {}, 10.685),
        (DOTS, {"price": GERMAN, "other": ENGLISH}, 10.685),
        (COMMAS, {"price": GERMAN}, 10.685),
        (COMMAS, {"price": ENGLISH}, 10685),
        (COMMAS, {}, 10685),
        ([f"{cell} €" for cell in DOTS], {"price": GERMAN}, 10685),
        ([f"-{cell}" for cell in DOTS], {"price": [f"{c} %" for c in GERMAN]}, -10685),
        # Beside texts, dates and numbers of one mark each there is nothing to learn.
        (DOTS, {"note": [f"good, {i}" for i in range(ROWS)]}, 10.685),
        (DOTS, {"day": ["31.12.2023"] * 30 + ["01.02.2024"] * 30}, 10.685),
        # Whatever neighbours show, a column that shows its own mark keeps it.
        (["10.685", *ENGLISH[1:]], {"price": GERMAN}, 10.685),
        (["10.685", *["0.125"] * 59], {"price": GERMAN}, 10.685),
    ],
)
def test_neighbours_tell(cells: list[str], others: dict[str, list[str]], means: float) -> None:
    table = table_of(sales=cells, **others, y=LABEL)
    schema = infer(table, ["y"])
    assert schema.column("sales").kind == "number"
    assert typed(schema, table).cells("sales")[0] == means
    # A later table is read alike, whatever its other columns are like.
    later = table.take([0])
    assert validate(schema, later, require_targets=False).cells("sales") == [means]


def test_a_target_is_read_as_its_neighbours_too() -> None:
    table = table_of(price=GERMAN, sales=DOTS)
    schema = infer(table, ["sales"])
    assert schema.column("sales").kind == "number"
    assert typed(schema, table).cells("sales")[0] == 10685
    assert "as in 'price'" in schema.column("sales").reason


def test_what_the_user_says_overrules_neighbours() -> None:
    table = table_of(sales=DOTS, price=GERMAN, y=LABEL)
    for stated in (Stated(decimal={"sales": "."}), Stated(decimal={"*": "."})):
        schema = infer(table, ["y"], stated=stated)
        assert typed(schema, table).cells("sales")[0] == 10.685
    said = Stated(decimal={"other": ","})
    table = table_of(sales=DOTS, other=COMMAS, y=LABEL)
    schema = infer(table, ["y"], stated=said)
    assert typed(schema, table).cells("sales")[0] == 10685


@pytest.mark.parametrize(
    ("others", "asked"),
    [({}, True), ({"a": GERMAN, "b": ENGLISH}, True), ({"a": GERMAN}, False), ({"a": ENGLISH}, 0)],
)
@pytest.mark.parametrize(("cells", "read"), [(DOTS, "decimals"), (COMMAS, "thousands")])
def test_what_stays_open_is_asked(
    others: dict[str, list[str]], asked: bool, cells: list[str], read: str
) -> None:
    table = table_of(sales=cells, **others, y=LABEL)
    schema = infer(table, ["y"])
    found = [f for f in doubts(typed(schema, table), schema) if "The mark" in f.what]
    assert len(found) == bool(asked)
    for one in found:
        assert f"read as that of {read}" in one.what and "`decimal sales=,`" in one.advice


def test_names_with_marks_are_asked_nothing() -> None:
    table = table_of(code=[f"K {cell} x{i}" for i, cell in enumerate(DOTS)], y=LABEL)
    schema = infer(table, ["y"], kinds={"code": "text"})
    assert not [f for f in doubts(table, schema) if "The mark" in f.what]


def test_a_mark_far_down_a_column_tells() -> None:
    """What the first cells leave open, or have no mark of, later ones may settle."""
    price = ["5"] * 59 + ["12,50"]
    for cells, means in ((DOTS, 10685), (["10.685"] + ["7"] * 58 + ["12.25"], 10.685)):
        table = table_of(sales=cells, price=price, y=LABEL)
        assert typed(infer(table, ["y"]), table).cells("sales")[0] == means
