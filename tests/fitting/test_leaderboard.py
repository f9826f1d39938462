"""What the lines of the leaderboard hold, and how they are shown."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

import polymodal as pm
from polymodal.contract.recipe import Recipe
from polymodal.report.console import Show, leaderboard
from polymodal.report.words import span, written
from polymodal.table.infer import infer
from polymodal.table.read import read

pytestmark = pytest.mark.whole


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pm.Run:
    monkeypatch.setenv("POLYMODAL_CACHE", str(tmp_path / "cache"))
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
