"""What a fit does where its budget is too short for what it plans."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import polymodal as pm
from polymodal import learn
from polymodal.recipe import Recipe
from polymodal.show import Show

TRAINING = {
    "epochs": 40,
    "batch_size": 16,
    "precision": "fp32",
    "attention": "plain",
    "memory_format": "contiguous",
    "threads": 1,
}
DATA = {"split": "random", "valid": 0.2}
EXPERT = {"name": "expert", "learner": "linear", "modalities": {"table": {}}}
NETWORK = {"name": "network", "modalities": {"table": {}}, "width": 8, "training": TRAINING}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLYMODAL_CACHE", str(tmp_path / "cache"))


def slow(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Steps of networks are measured to take so long."""
    choose = learn.choose
    monkeypatch.setattr(learn, "choose", lambda *given: replace(choose(*given), seconds=seconds))


def fit(budget: float, *members: dict[str, Any], **data: Any) -> tuple[pm.Run, str]:
    number = np.random.default_rng(0).normal(size=100)
    table = pd.DataFrame({"level": number, "label": np.where(number > 0, "up", "down")})
    told = io.StringIO()
    recipe = Recipe.model_validate({"members": list(members), "data": data or DATA})
    run = pm.fit(table, "label", recipe=recipe, budget=budget, show=Show(told))
    return run, " ".join(told.getvalue().split())


def test_without_any_time_the_first_model_is_fitted_all_the_same() -> None:
    run, told = fit(1e-3, EXPERT, NETWORK)
    assert list(run.members) == ["expert"] and run.leaderboard[0]["value"] > 0.9
    assert "network: skipped, the budget is spent" in told


@pytest.mark.parametrize("data", [{}, {"folds": 2}])
def test_a_network_that_must_be_makes_its_least_steps(data: dict[str, Any]) -> None:
    run, _ = fit(1e-3, NETWORK, **data)
    facts = run.members["network"].facts
    assert facts["steps"] <= learn.LEAST_STEPS
    assert facts["planned_steps"] == learn.LEAST_STEPS


def test_a_network_of_too_few_steps_is_left_out_with_the_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    slow(monkeypatch, 10.0)
    run, told = fit(60, EXPERT, NETWORK)
    assert list(run.members) == ["expert"]
    assert f"and {learn.LEAST_STEPS} are the least" in told


def test_few_steps_are_enough_where_the_epochs_have_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    slow(monkeypatch, 0.01)
    short = {**NETWORK, "training": {**TRAINING, "epochs": 1}}
    run, told = fit(60, short)
    assert run.members["network"].facts["steps"] == 5
    assert "skipped" not in told
