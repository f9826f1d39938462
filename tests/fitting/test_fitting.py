"""The main job on small tables: learns, repeats itself, resumes, keeps its folder whole."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typed import polymodal

import polymodal as pm
from polymodal.base.errors import UserError
from polymodal.contract.recipe import Recipe, Training
from polymodal.train.interrupt import Interrupted
from polymodal.train.loop import Loop

pytestmark = pytest.mark.whole

QUICK = Training(
    epochs=3,
    batch_size=32,
    precision="fp32",
    attention="plain",
    memory_format="contiguous",
    threads=1,
)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLYMODAL_CACHE", str(tmp_path / "cache"))


def table(rows: int = 240, seed: int = 0) -> pd.DataFrame:
    """A text and a number: the label needs both (an exclusive or)."""
    rng = np.random.default_rng(seed)
    a, b = rng.integers(0, 2, rows), rng.integers(0, 2, rows)
    words = np.array([["calm sea", "still water"], ["wild storm", "strong wind"]])
    extra = rng.choice(["today", "here", "again", "now", "outside"], rows)
    text = [
        f"{words[x, i]} {e} {n}"
        for x, i, e, n in zip(
            a, rng.integers(0, 2, rows), extra, rng.integers(0, 999, rows), strict=True
        )
    ]
    return pd.DataFrame(
        {
            "note": text,
            "level": b * 2.0 - 1 + rng.normal(0, 0.2, rows),
            "label": np.where(a ^ b, "odd", "even"),
        }
    )


def weights(run: pm.Run) -> dict[str, np.ndarray]:
    return {
        f"{name}.{key}": value.numpy()
        for name, member in run.members.items()
        for key, value in member.module.state_dict().items()
    }


def same(first: pm.Run, second: pm.Run) -> None:
    a, b = weights(first), weights(second)
    assert a.keys() == b.keys()
    for key in a:
        np.testing.assert_array_equal(a[key], b[key], err_msg=key)


def recipe(**options: object) -> Recipe:
    return Recipe.model_validate({"training": QUICK.model_dump(), "width": 16, **options})


def test_same_seed_same_run_and_another_seed_another() -> None:
    data = table()
    first = pm.fit(data, "label", recipe=recipe(), seed=1)
    same(first, pm.fit(data, "label", recipe=recipe(), seed=1))
    other = weights(pm.fit(data, "label", recipe=recipe(), seed=2))
    assert any(not np.array_equal(v, other[k]) for k, v in weights(first).items())


def test_a_saved_run_predicts_the_same(tmp_path: Path) -> None:
    data, new = table(), table(30, seed=5)
    run = pm.fit(data, "label", recipe=recipe(), out=tmp_path / "run")
    again = pm.load(tmp_path / "run")
    before, after = run.predict(new), again.predict(new)
    assert list(before["label"]) == list(after["label"])
    np.testing.assert_allclose(before["label=odd"], after["label=odd"], atol=1e-6)
    assert sorted(p.name for p in (tmp_path / "run").iterdir()) == [
        "check.json",
        "model.safetensors",
        "recipe.yaml",
        "run.json",
    ]


def test_interrupted_then_resumed_equals_uninterrupted(
    tmp_path: Path, ctrl_c_at: Callable[[int], None]
) -> None:
    data = table()
    whole = pm.fit(data, "label", recipe=recipe(), out=tmp_path / "whole")
    ctrl_c_at(10)  # in the middle of an epoch
    with pytest.raises(Interrupted):
        pm.fit(data, "label", recipe=recipe(), out=tmp_path / "broken")
    assert not (tmp_path / "broken" / "run.json").exists()
    with pytest.raises(UserError, match="interrupted fit"):
        pm.load(tmp_path / "broken")
    resumed = pm.fit(data, "label", recipe=recipe(), out=tmp_path / "broken")
    same(whole, resumed)
    with pytest.raises(UserError, match="already holds a finished run"):
        pm.fit(data, "label", recipe=recipe(), out=tmp_path / "broken")


def test_an_interrupted_fit_of_something_else_is_not_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(self: Loop, rows: np.ndarray) -> float:
        raise Interrupted("stop")

    with monkeypatch.context() as patch:
        patch.setattr(Loop, "_step", stop)
        with pytest.raises(Interrupted):
            pm.fit(table(), "label", recipe=recipe(), out=tmp_path / "run")
    with pytest.raises(UserError, match="something else"):
        pm.fit(table(seed=9), "label", recipe=recipe(), out=tmp_path / "run")


def test_the_default_learns_what_neither_column_can_say_alone() -> None:
    # Of what is installed nothing is needed, and on a busy machine it takes the network's time.
    run = pm.fit(table(1200), "label", budget=35, pretrained="none")
    found = pm.evaluate(run, table(400, seed=7), contributions="none", explain=0)
    assert found.targets["label"]["accuracy"]["value"] > 0.97
    assert set(found.rivals) == {"note", "table"}
    for rival in found.rivals.values():
        assert rival["label"]["accuracy"]["value"] < 0.62


def test_rows_without_a_target_are_counted_and_cells_may_be_missing() -> None:
    data = table()
    data.loc[:9, "label"] = None
    data.loc[20:40, "note"] = None
    run = pm.fit(data, "label", recipe=recipe())
    found = pm.evaluate(run, data)
    assert found.ledger["skipped"] == {"no value in target 'label'": 10}
    gone = run.predict(pd.DataFrame({"note": [None], "level": [None]}))
    assert np.isfinite(gone["label=odd"][0])


def test_several_targets_at_once() -> None:
    data = table()
    data["size"] = data["level"] * 3 + 1
    run = pm.fit(data, ["label", "size"], recipe=recipe(), kinds={"size": "number"})
    found = pm.evaluate(run, data)
    assert {"accuracy", "roc_auc"} <= set(found.targets["label"])
    assert {"rmse", "r2"} <= set(found.targets["size"])


def test_folds_score_every_row_once() -> None:
    run = pm.fit(table(150), "label", recipe=recipe(data={"folds": 3}))
    assert run.leaderboard[0]["name"] == "fused"
    assert pm.evaluate(run, table(50, seed=3), contributions="none", explain=0).rows == 50


def test_the_command_line_end_to_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    table(200).to_csv("train.csv", index=False)
    table(40, seed=4).to_csv("test.csv", index=False)
    settings = json.dumps({"training": QUICK.model_dump(), "width": 16})
    Path("fit.yaml").write_text(f"{settings[:-1]}, train: train.csv, target: label}}")
    assert polymodal("fit", "fit.yaml", "--out", "run") == 0
    assert polymodal("evaluate", "run", "--data", "test.csv", "--out", "test") == 0
    metrics = json.loads(Path("test/metrics.json").read_text())
    assert metrics["rows"] == 40
    assert set(metrics["targets"]["label"]["accuracy"]) == {"value", "low", "high"}
    assert polymodal("predict", "run", "--data", "test.csv", "--out", "p.csv") == 0
    assert list(pd.read_csv("p.csv").columns) == ["row", "label", "label=even", "label=odd"]
    capsys.readouterr()
    assert polymodal("predict", "run", "--note", "wild storm here", "--level", "1.0") == 0
    assert json.loads(capsys.readouterr().out)["label"] in ("even", "odd")
    assert polymodal("embed", "run", "--data", "test.csv", "--out", "v.npy") == 0
    assert np.load("v.npy").shape == (40, 16)
    assert polymodal("predict", "run", "--colour", "red") == 2
    assert polymodal("predict", "run", "--level", "1", "--trusted", "yes") == 2
    assert polymodal("fit", "train.csv", "--target", "lable", "--out", "other") == 2
