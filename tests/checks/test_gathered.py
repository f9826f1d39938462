"""Rows of one picture with a text each are one row with all texts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from polymodal.base.errors import UserError
from polymodal.checks.gathered import gathered
from polymodal.contract.recipe import Recipe
from polymodal.evaluation.part import table_of
from polymodal.evaluation.texts import samples
from polymodal.fitting.data import checked, divided, opened
from polymodal.report.examples import Examples
from polymodal.run.pipeline import Pipeline
from polymodal.table.infer import infer
from polymodal.table.read import Table, read
from polymodal.table.schema import Schema
from polymodal.tasks.classify import Classify
from polymodal.tasks.generate import Generate


def table(**more: list[Any]) -> Table:
    pictures = [np.full((4, 4, 3), 40 * i, np.uint8) for i in (0, 1, 0, 2, 1)]
    texts = ["a dog", "a cat", "one dog", None, "some cat"]
    return read({"picture": pictures, "caption": texts, **more})


def schema_of(found: Table, group: str | None = None) -> Schema:
    return infer(found, ["caption"], {"caption": "text"}, group=group)


def test_the_first_row_of_a_picture_holds_all_its_texts(tmp_path: Path) -> None:
    found = table(row=[10, 11, 12, 13, 14])
    task = [Generate("caption")]
    own, rows, told = gathered(found, schema_of(found), task, tmp_path)
    # "row" is another number in every row: an input that tells them apart.
    assert len(own) == 5 and not told
    found = table()
    own, rows, told = gathered(found, schema_of(found), task, tmp_path)
    assert own.cells("caption") == [["a dog", "one dog"], ["a cat", "some cat"], None]
    assert rows.tolist() == [0, 1, 3]
    assert "2 of 5 rows" in told[0].what and "3 rows, with up to 2 texts" in told[0].what
    # Lists of texts are joined too, and a part of the rows stays apart.
    again, rows, _ = gathered(own, schema_of(own), task, tmp_path)
    assert again is own
    parts, rows, _ = gathered(found, schema_of(found), task, tmp_path, own=2)
    assert rows.tolist() == [0, 1, 2, 3, 4] and parts is found


def test_groups_classes_and_chance_gather_nothing(tmp_path: Path) -> None:
    found, task = table(who=["x", "y", "z", "x", "y"]), [Generate("caption")]
    _, rows, _ = gathered(found, schema_of(found, "who"), task, tmp_path)
    assert rows.tolist() == [0, 1, 2, 3]
    plain = read({"n": ["p", "q", "p", "q"], "caption": ["a dog", "a cat", "one dog", "a cow"]})
    assert len(gathered(plain, schema_of(plain), task, tmp_path)[0]) == 4
    own = table()
    assert gathered(own, schema_of(own), [Classify("caption")], tmp_path)[0] is own


@pytest.mark.parametrize("kind", [None, "text"])
def test_a_fit_learns_from_a_row_a_picture(tmp_path: Path, kind: str | None) -> None:
    pictures = [np.full((4, 4, 3), 9 * (i // 3), np.uint8) for i in range(24)]
    texts = [f"it is {'red' if i % 2 else 'blue'}" for i in range(24)]
    kinds = {} if kind is None else {"data": {"kinds": {"caption": kind}}}
    recipe = Recipe.model_validate({"targets": {"caption": None}, **kinds})
    data = opened({"picture": pictures, "caption": texts}, None, recipe, tmp_path)
    assert (len(data.table), data.own) == ((8, 8) if kind else (24, 24))
    report = checked(data, recipe)
    assert any("repeat the inputs" in one.what for one in report.findings)
    assert any("Remove" in one.advice for one in report.findings) == (kind is None)
    held = np.concatenate([outer for _, outer in divided(data, recipe).folds])
    assert sorted(held.tolist()) == list(range(len(data.table)))


def test_a_run_is_measured_against_all_texts_of_a_picture() -> None:
    found = table()
    run: Any = SimpleNamespace(
        table=lambda source, require_targets: source,
        schema=schema_of(found),
        tasks={"caption": Generate("caption")},
    )
    own, told = table_of(run, found)
    assert own.cells("caption")[0] == ["a dog", "one dog"] and len(told) == 1


def test_gathered_rows_are_called_by_the_numbers_that_they_had(tmp_path: Path) -> None:
    found = table()
    schema = schema_of(found)
    own, _, _ = gathered(found, schema, [Generate("caption")], tmp_path)
    # 0, 1 and 3 of the table as it is written, whatever is taken of them.
    pipeline: Any = SimpleNamespace(tasks={}, schema=schema)
    assert Pipeline.decoded(pipeline, own, {})["row"] == [0, 1, 3]
    last = own.take([0, 2])
    assert samples(last, schema, {"caption": ["x", "y"]}, {"caption": {}})["row"] == [0, 3]
    broken = replace(own, data=own.data.set_column(0, "picture", pa.array([3.5] * 3)))
    with pytest.raises(UserError, match="row 3, column 'picture'"):
        next(broken.media("picture", [2]))
    # A part is counted from its first row on, as of a table of its own.
    assert [own.slice(1).number(row) for row in (0, 1)] == [0, 2]
    assert own.place(3) == 2
    shown = Examples(own, schema)
    shown.left = 0
    assert "row 3" in shown.cell("picture", 3)
