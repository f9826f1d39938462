"""What the lines of the leaderboard hold, and how they are shown."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

import polymodal as pm
from polymodal.base.errors import UserError
from polymodal.contract.recipe import Recipe
from polymodal.report.console import Show, leaderboard
from polymodal.report.words import span, written
from polymodal.table.infer import infer
from polymodal.table.read import read

pytestmark = pytest.mark.whole


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLYMODAL_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def run() -> pm.Run:
    level = np.random.default_rng(0).normal(size=60)
    table = {"level": level, "note": ["sea", "town"] * 30, "label": np.where(level > 0, "up", "no")}
    expert = {"name": "expert", "learner": "linear", "modalities": {"note": {}, "table": {}}}
    net = {"name": "net", "modalities": {"table": {}}, "width": 8, "training": {"epochs": 1}}
    recipe = Recipe.model_validate({"models": [expert, net]})
    return pm.fit(pd.DataFrame(table), "label", recipe=recipe, kinds={"note": "text"})


def test_every_number_that_a_member_holds_is_a_parameter(run: pm.Run) -> None:
    for line in run.leaderboard:
        held = [run.members[n].module.state_dict().values() for n in line["members"]]
        size = sum(tensor.numel() for tensors in held for tensor in tensors)
        assert line["parameters"] == size and bool(size) == bool(held)


def test_the_best_single_is_chosen_by_validation_and_not_by_the_test() -> None:
    """Of two rivals the one that validated better stays the rival where it is the worse one."""
    level = np.random.default_rng(0).normal(size=60)
    words = np.where(level > 0, "sea", "town")
    table = pd.DataFrame({"level": level, "note": words, "label": np.where(level > 0, "up", "no")})
    both = {"name": "both", "learner": "linear", "modalities": {"note": {}, "table": {}}}
    recipe = Recipe.model_validate({"models": [both], "rivals": True})
    run = pm.fit(table, "label", recipe=recipe, kinds={"note": "text"})
    test = table.assign(note=words[::-1])  # here the note is at chance, and the level is not
    for line in run.leaderboard:
        if line["role"] == "rival":
            line["value"] = 0.9 if line["name"] == "note" else 0.8
    found = pm.evaluate(run, test, contributions="none", explain=0).verdicts["label"]
    assert found["best_single"] == "note" and found["single"] < 0.8
    assert found["stronger"]["name"] == "table"


def test_brackets_in_names_are_no_markup() -> None:
    table = read({"weight [kg]": [1.5, 2.5, 3.5], "price [/kg]": [2.5, 1.5, 0.5], "y": [0, 1, 0]})
    file = io.StringIO()
    Show(file).schema(infer(table, ["y"]), table)
    assert "weight [kg]" in file.getvalue() and "price [/kg]" in file.getvalue()


def test_figures_are_whole_on_a_narrow_screen(run: pm.Run) -> None:
    long = "+".join(f"column{i}" for i in range(20))
    run.leaderboard = [line for line in run.leaderboard if line["role"] != "member"]
    for line in run.leaderboard:
        line["name"] += long
        line["parameters"] = 123_456_789
    file = io.StringIO()
    Console(file=file, width=80).print(leaderboard(run))
    shown = file.getvalue()
    assert "…" not in shown
    assert shown.count("123,456,789") == len(run.leaderboard)
    assert all(written(line["value"]) in shown and span(line) in shown for line in run.leaderboard)
    assert all(f"column{i} " in shown for i in range(20))


def test_models_are_chosen_and_judged_by_the_metric_that_was_asked_for(tmp_path: Path) -> None:
    """A run that is loaded again is judged by it too; another task's metric is an error at once."""
    level = np.random.default_rng(0).normal(size=60)
    table = pd.DataFrame({"level": level, "label": np.where(level > 0.5, "up", "no")})
    recipe = Recipe.model_validate({"models": [{"name": "expert", "learner": "linear"}]})
    pm.fit(table, "label", recipe=recipe, metric="macro_f1", out=tmp_path / "run")
    run = pm.load(tmp_path / "run")
    assert {line["metric"] for line in run.leaderboard} == {"macro_f1"}
    assert run.tasks["label"].primary == "macro_f1" and not run.tasks["label"].exact
    with pytest.raises(UserError, match="no metric 'mae' of 'label'"):
        pm.fit(table, "label", recipe=recipe, metric="mae")
