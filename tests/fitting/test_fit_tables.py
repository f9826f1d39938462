"""What a fit makes of its table: targets, validation rows, bad cells, what it keeps in memory."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

import polymodal as pm
from polymodal.base.errors import UserError
from polymodal.cli import main as cli
from polymodal.contract.recipe import Recipe
from polymodal.table.readers import columnar

pytestmark = pytest.mark.whole

QUICK = {
    "width": 8,
    "training": {
        "epochs": 1,
        "precision": "fp32",
        "attention": "plain",
        "memory_format": "contiguous",
        "threads": 1,
    },
}


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLYMODAL_CACHE", str(tmp_path / "cache"))


def recipe(**more: object) -> Recipe:
    return Recipe.model_validate(QUICK | more)


def rows(labels: list[str]) -> pd.DataFrame:
    x = np.random.default_rng(0).normal(size=len(labels))
    return pd.DataFrame({"x": x, "day": range(len(labels)), "label": labels})


def test_a_class_that_comes_later_is_left_out_of_validation_and_counted(tmp_path: Path) -> None:
    later = rows(["a", "b"] * 45 + ["c", "a", "b", "c", "a"] * 2)
    by_time = {"split": "time", "time": "day", "valid": 0.1, "kinds": {"x": "number"}}
    run = pm.fit(later, "label", recipe=recipe(data=by_time), out=tmp_path / "run")
    reason = "a class of 'label' that no training row has"
    assert run.ledger["skipped"] == {f"validation with {reason}": 4}
    assert run.ledger["used"] == {"training or validation": 96}
    assert run.tasks["label"].state["classes"] == ["a", "b"]
    warned = json.loads((tmp_path / "run" / "check.json").read_text())
    assert any(f["what"] == f"4 of 10 validation rows have {reason}" for f in warned)
    with pytest.raises(UserError, match="class 'c', which no training row had"):
        pm.evaluate(run, later.tail(10))


def test_a_validation_table_with_a_new_class_alone_cannot_choose_a_model() -> None:
    train, valid = rows(["a", "b"] * 20), rows(["c"] * 5)
    with pytest.raises(UserError, match="No validation row has a value of 'label'"):
        pm.fit(train, "label", valid=valid, recipe=recipe())


def test_dates_are_learned_in_seconds_and_answered_as_dates() -> None:
    table = rows(["-"] * 60).drop(columns=["label", "day"])
    table["due"] = (pd.Timestamp("2024-01-01") + pd.to_timedelta(range(60), unit="D")).astype(str)
    run = pm.fit(table, "due", recipe=recipe())
    assert run.schema.targets[0].kind == "number"
    found = run.predict(table)["due"]
    assert min(found) > pd.Timestamp("2023-11-14") and max(found) < pd.Timestamp("2024-07-03")


def picture(seed: int) -> bytes:
    file = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A table of 40 pictures, of which row 3's is cut off."""
    for i in range(40):
        (tmp_path / f"{i}.png").write_bytes(picture(i)[: 60 if i == 3 else None])
    table = {"image": [f"{i}.png" for i in range(40)], "label": ["a", "b"] * 20}
    pd.DataFrame(table).to_csv(tmp_path / "t.csv", index=False)
    return tmp_path / "t.csv"


def test_check_decodes_a_sample(
    pictures: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    words = ["polymodal", "check", str(pictures), "--target", "label"]
    monkeypatch.setattr("sys.argv", words)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    shown = " ".join(capsys.readouterr().out.split())
    assert ended.value.code == 2
    assert "error 1 of 40 sampled cells of 'image'" in shown and "--max-bad-rows" in shown
    monkeypatch.setattr("sys.argv", [*words, "--max-bad-rows", "1"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "warning 1 of 40 sampled cells of 'image'" in shown and "count as missing" in shown


def test_an_unreadable_cell_counts_as_missing_wherever_it_is_met(pictures: Path) -> None:
    both = [
        {"name": "one", "modalities": {"image": {}}, **QUICK},
        {"name": "two", "learner": "linear", "modalities": {"image": {}}},
    ]
    data = {"max_bad_rows": 1, "split": "random", "valid": 0.2}
    run = pm.fit(
        str(pictures), "label", recipe=Recipe.model_validate({"models": both, "data": data})
    )
    reason = f"column 'image' of {pictures} cannot be read: taken as missing"
    assert run.ledger["incomplete"] == {reason: 1} and run.ledger["skipped"] == {}
    assert run.ledger["used"] == {"training or validation": 40}
    ledger = pm.evaluate(run, str(pictures), max_bad_rows=1).ledger
    assert ledger["incomplete"] == {reason: 1}
    assert ledger["used"] == {"measured": 40} and ledger["skipped"] == {}
    told = run.predict(str(pictures), max_bad_rows=1)["label=a"]
    cells: list[str | None] = [f"{i}.png" for i in range(40)]
    cells[3] = None
    pd.DataFrame({"image": cells}).to_csv(pictures.parent / "emptied.csv", index=False)
    emptied = run.predict(str(pictures.parent / "emptied.csv"))["label=a"]
    assert len(told) == 40 and told == emptied


def test_pictures_in_parquet_are_not_held_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(columnar, "SPOOL_BYTES", 0)
    table = pa.table({"image": [picture(i) for i in range(30)], "label": ["a", "b"] * 15})
    pq.write_table(table, tmp_path / "t.parquet")
    run = pm.fit(table, "label", recipe=recipe(data={"split": "random", "valid": 0.2}))
    spooled = tmp_path / "cache" / "tables"
    assert not spooled.exists()
    assert pa.types.is_struct(
        run.table(str(tmp_path / "t.parquet")).data.schema.field("image").type
    )
    assert len(list(spooled.iterdir())) == 1
