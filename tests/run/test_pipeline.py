"""A pipeline: rows of cells in, answers out, as the table path gives them, without a disk."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

import polymodal as pm
from polymodal.base.errors import UserError
from polymodal.contract.recipe import Recipe
from polymodal.models.experts import _boosting
from polymodal.run import run as running
from polymodal.run.saved import FORMAT, opened, save
from polymodal.table.ledger import Ledger

pytestmark = pytest.mark.whole

ROWS = 40


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A table of a picture, a note, a series and a number, and a run of two networks and a tree."""
    folder = tmp_path_factory.mktemp("made")
    rng = np.random.default_rng(0)
    light = rng.integers(0, 2, ROWS)
    for i, bright in enumerate(light):
        pixels = rng.integers(0, 100, (8, 8, 3)) + 150 * bright
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{i}.png")
    frame = pd.DataFrame(
        {
            "picture": [str(folder / f"{i}.png") for i in range(ROWS)],
            "note": [f"this is note {i} of what one may see" for i in range(ROWS)],
            "signal": [list(rng.normal(size=5 + i % 3)) for i in range(ROWS)],
            "x": rng.normal(size=ROWS),
            "label": np.where(light, "day", "night"),
        }
    )
    frame.to_json(folder / "table.jsonl", orient="records", lines=True)
    every: dict[str, Any] = {name: {} for name in ("picture", "note", "signal", "table")}
    quick = {"epochs": 1, "threads": 1, "precision": "fp32"}
    models = [
        {"name": "net", "modalities": every, "width": 8, "training": quick},
        {"name": "early", "modalities": every, "width": 8, "training": quick, "fusion": "early"},
        {"name": "trees", "modalities": every, "learner": "trees"},
    ]
    recipe = Recipe.model_validate(
        {"models": models, "compare": True, "data": {"kinds": {"note": "text"}}}
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("POLYMODAL_CACHE", str(folder / "cache"))
        patch.setattr(_boosting, "MOST_ROUNDS", 20)
        out = folder / "run"
        run = pm.fit(folder / "table.jsonl", "label", recipe=recipe, out=out)
        # All of them, whatever validation thinks.
        run.weights["fused"]["label"] = {"net": 0.25, "early": 0.25, "trees": 0.5}
        save(run, out)
    return folder / "table.jsonl", out


@pytest.fixture
def table(made: tuple[Path, Path]) -> pd.DataFrame:
    return pd.read_json(made[0], lines=True)


@pytest.fixture
def run(made: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pm.Run:
    monkeypatch.setenv("POLYMODAL_CACHE", str(tmp_path / "cache"))
    return pm.load(made[1])


def rows_of(table: pd.DataFrame) -> list[dict[str, Any]]:
    return table.drop(columns="label").to_dict("records")


def test_rows_are_answered_as_the_table_is(run: pm.Run, table: pd.DataFrame) -> None:
    wanted = run.predict(table)["label=day"]
    together = run.pipeline.predict(rows_of(table))
    assert list(together) == list(run.predict(table))
    np.testing.assert_allclose(together["label=day"], wanted, atol=1e-5)
    alone = [run.predict_row(row)["label=day"] for row in rows_of(table)]
    np.testing.assert_allclose(alone, wanted, atol=1e-5)


@pytest.mark.parametrize("column", ["picture", "note", "signal", "x"])
def test_a_column_left_out_is_missing(run: pm.Run, table: pd.DataFrame, column: str) -> None:
    row = rows_of(table)[0]
    gone = {name: cell for name, cell in row.items() if name != column}
    assert run.predict_row(gone) == run.predict_row({**row, column: None})
    modality = "table" if column == "x" else column
    masked = run.predict_row(row, absent=modality)
    assert masked["label=day"] == pytest.approx(run.predict_row(gone)["label=day"], abs=1e-5)


def test_nothing_is_written(
    run: pm.Run, table: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(running, "usable_folder", lambda: pytest.fail("asked for the cache"))
    run.predict_row(rows_of(table)[0])
    run.pipeline.predict(rows_of(table))
    assert list(tmp_path.iterdir()) == []


def test_threads_answer_as_one_does(run: pm.Run, table: pd.DataFrame) -> None:
    before, state = torch.get_num_threads(), torch.random.get_rng_state()
    rows = rows_of(table)
    wanted = [run.predict_row(row) for row in rows]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(run.predict_row, rows * 3))
    assert found == wanted * 3
    assert torch.get_num_threads() == before
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize("more", [{"weather": "fine"}, {"": 1, "zip": "1234"}, {"Notiz": None}])
def test_columns_that_the_run_does_not_know_are_ignored_with_one_warning(
    run: pm.Run, table: pd.DataFrame, tmp_path: Path, more: dict[str, Any]
) -> None:
    """Whatever the rows come in; targets and what only identifies rows are known."""
    frame = table.assign(**more)
    plain = [{**row, **more} for row in table.to_dict("records")]
    frame.to_json(tmp_path / "rows.jsonl", orient="records", lines=True)
    wanted = run.predict(table)["label"].tolist()
    for source in (frame, plain, str(tmp_path / "rows.jsonl")):
        with pytest.warns(UserWarning, match="are ignored") as told:
            assert list(run.predict(source)["label"]) == wanted
        assert len(told) == 1 and all(f"'{name}'" in str(told[0].message) for name in more)
    with pytest.warns(UserWarning, match="are ignored") as told:
        assert run.predict_row(plain[0])["label"] == wanted[0]
    assert len(told) == 1


def test_a_column_of_nearly_an_inputs_name_is_an_error_where_that_input_lacks(
    run: pm.Run, table: pd.DataFrame
) -> None:
    row = rows_of(table)[0]
    lacking = {name: cell for name, cell in row.items() if name != "picture"}
    with pytest.raises(UserError, match="no input column 'weather'"):
        run.predict_row({"weather": "fine"})  # nothing of the row is known
    for name in ("pictures", "Picture", "pictrue"):
        with pytest.raises(UserError, match=f"no input column '{name}'"):
            run.predict_row({**lacking, name: "a.png"})
        with pytest.warns(UserWarning, match=f"ignored: '{name}'"):
            run.predict_row({**row, name: "a.png"})


def test_a_run_may_be_named_by_its_folder(made: Any, run: pm.Run) -> None:
    assert opened(run) is run
    assert opened(str(made[1])).schema == run.schema


def test_bad_cells_are_said(run: pm.Run, table: pd.DataFrame) -> None:
    row = rows_of(table)[0]
    with pytest.raises(UserError, match="A row is a mapping of columns"):
        run.predict_row("x")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="no input column 'pictrue'"):
        run.predict_row({"pictrue": "a.png"})
    with pytest.raises(UserError, match=r"(?s)'x' .* not of kind number.*'high' in row 0"):
        run.pipeline.predict([{**row, "x": "high"}] * 2)
    with pytest.warns(UserWarning, match="1 row: the cell of 'x' is no number.*'high' in row 0"):
        assert run.predict_row({**row, "x": "high"}) == run.predict_row({**row, "x": None})
    ledger = Ledger()
    run.predict([{**row, "x": "high"}, {**row, "x": "1.5"}], ledger=ledger)
    assert "'high' in row 0" in "".join(ledger.lines())
    with pytest.raises(UserError, match=r"1 of 1 cells of column 'picture'.*(?s:.)*does not exist"):
        run.predict_row({**row, "picture": "nowhere.png"})
    ledger = Ledger()
    bad = [row, {**row, "picture": "nowhere.png"}]
    found = run.pipeline.predict(bad, max_bad_rows=1, ledger=ledger)
    assert found["label=day"][1] == pytest.approx(
        run.predict_row({**row, "picture": None})["label=day"], abs=1e-5
    )
    assert sum(ledger.to_json()["incomplete"].values()) == 1


def test_a_run_of_another_format_is_refused(made: tuple[Path, Path], tmp_path: Path) -> None:
    described = (made[1] / "run.json").read_text()
    now = f'"format": {FORMAT}'
    assert now in described
    (tmp_path / "run.json").write_text(described.replace(now, '"format": 1'))
    with pytest.raises(UserError, match=r"(?s)another version of polymodal.*format 1.*fit again"):
        pm.load(tmp_path)


def test_loading_imports_only_what_members_need(made: tuple[Path, Path]) -> None:
    heavy = ("transformers", "accelerate", "sklearn", "pandas", "tokenizers", "datasets")
    code = f"""
import sys
import polymodal as pm
pm.load({str(made[1])!r})
print(*[name for name in {heavy!r} if name in sys.modules])
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == ""
