"""Which columns drifted: known changes are found, and none where nothing changed."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from typed import polymodal

import polymodal as pm
from polymodal.base.errors import UserError
from polymodal.contract.recipe import Recipe
from polymodal.evaluation.drift import drift, energy
from polymodal.report.console import Show

pytestmark = pytest.mark.whole


def frame(rows: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    a, words = rng.normal(size=rows), rng.choice(["up", "down", "left", "right"], (rows, 4))
    return pd.DataFrame(
        {
            "a": np.where(rng.random(rows) < 0.1, np.nan, a),
            "city": rng.choice(["Rome", "Oslo", "Lima"], rows),
            "note": [" ".join(line) for line in words],
            "label": np.where((a > 0) | (words[:, 0] == "up"), "yes", "no"),
        }
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("drift")
    frame(200, 0).to_csv(folder / "train.csv", index=False)
    member = {"name": "lin", "learner": "linear", "modalities": {"note": {}, "table": {}}}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("POLYMODAL_CACHE", str(folder / "cache"))
        return pm.fit(
            folder / "train.csv",
            "label",
            recipe=Recipe.model_validate({"models": [member]}),
            kinds={"note": "text", "city": "category"},
            out=folder / "run",
            show=Show.silent(),
        )


def test_rows_of_the_same_kind_do_not_drift(run):
    found = drift(run, frame(300, 1))
    assert not found.drifted and found.rows == (200, 300)
    assert "No column drifted" in found.text()


CHANGES = {
    "a": lambda f: f.assign(a=f["a"] + 1.5),
    "city": lambda f: f.assign(city=np.where(np.arange(len(f)) % 3 > 0, "Cairo", f["city"])),
    "note": lambda f: f.assign(note=["up up up up"] * len(f)),
}


@pytest.mark.parametrize("column", CHANGES)
def test_the_column_that_changed_is_the_one_that_drifted(run, column):
    found = drift(run, CHANGES[column](frame(150, 2)))
    assert found.drifted == [column] and found.columns[0].distance > 0.2


def test_cells_that_go_missing(run):
    new = frame(150, 3)
    new.loc[::2, "city"] = None
    found = drift(run, new)
    assert found.drifted == ["city"]
    assert found.columns[0].p_missing < 1e-6 < found.columns[0].p_values
    assert found.columns[0].missing == (0.0, 0.5)


def test_of_what_no_model_reads_only_gaps_are_compared(tmp_path):
    alone = {"models": [{"name": "lin", "learner": "linear", "modalities": {"table": {}}}]}
    recipe = Recipe.model_validate(alone)
    run = pm.fit(frame(100, 0), "label", recipe=recipe, kinds={"note": "text"}, show=Show.silent())
    new = frame(100, 1)
    new.loc[:49, "note"] = None
    found = {one.column: one for one in drift(run, new, reference=frame(100, 0)).columns}
    assert found["note"].p_values is None and found["note"].p_missing < 1e-6
    assert found["a"].p_values is not None


def test_strange_cells(run):
    new = frame(100, 4)
    new["a"] = 100.0
    new.loc[:9, "city"] = "Cairo"
    strange = {one.column: one.strange for one in drift(run, new).columns}
    assert strange == {"a": 1.0, "city": 0.1, "note": None}


def test_the_command_fails_if_it_is_asked_to(run, tmp_path):
    new = tmp_path / "new.csv"
    CHANGES["a"](frame(150, 2)).to_csv(new, index=False)
    out = tmp_path / "drift.json"
    line = ["drift", str(run.folder), "--data", str(new), "--out", str(out)]
    assert polymodal(*line, "--fail-on-drift") == 3
    assert json.loads(out.read_text())["drifted"] == ["a"]


def test_a_level_that_is_none(run):
    with pytest.raises(UserError, match="is no level"):
        drift(run, frame(10, 0), level=2)


def test_the_energy_distance_of_known_samples():
    far, p = energy(np.zeros((40, 2)), np.ones((40, 2)), 0.01)
    assert far == pytest.approx(1) and p < 0.01


def test_p_values_of_alike_samples_are_spread_evenly():
    rng = np.random.default_rng(0)
    found = [energy(*rng.normal(size=(2, 20, 3)), 0.05)[1] for _ in range(60)]
    assert 0.4 < np.mean(found) < 0.6 and np.mean(np.array(found) < 0.1) < 0.25
