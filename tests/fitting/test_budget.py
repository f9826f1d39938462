"""What a fit does where its budget is too short for what it plans."""

from __future__ import annotations

import io
from dataclasses import replace
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

import polymodal as pm
from polymodal.contract.recipe import Recipe
from polymodal.fitting import learn
from polymodal.fitting.learners import gradient
from polymodal.models.experts import _convex
from polymodal.report.console import Show

pytestmark = pytest.mark.whole

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
    choose = gradient.choose

    def measured(*given: Any, **options: Any) -> Any:
        return replace(choose(*given, **options), seconds=seconds)

    monkeypatch.setattr(gradient, "choose", measured)


def fit(budget: float, *members: dict[str, Any], **data: Any) -> tuple[pm.Run, str]:
    number = np.random.default_rng(0).normal(size=100)
    table = pd.DataFrame({"level": number, "label": np.where(number > 0, "up", "down")})
    told = io.StringIO()
    recipe = Recipe.model_validate({"models": list(members), "data": data or DATA})
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
    assert facts["steps"] <= gradient.LEAST_STEPS
    assert facts["planned_steps"] == gradient.LEAST_STEPS


def test_a_network_of_too_few_steps_is_left_out_with_the_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    slow(monkeypatch, 100.0)
    run, told = fit(600, EXPERT, NETWORK)
    assert list(run.members) == ["expert"]
    assert f"fewer than the {gradient.LEAST_STEPS} that it needs" in told


def test_few_steps_are_enough_where_the_epochs_have_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    slow(monkeypatch, 0.01)
    short = {**NETWORK, "training": {**TRAINING, "epochs": 1}}
    run, told = fit(600, short)
    assert run.members["network"].facts["steps"] == 5
    assert "skipped" not in told


def test_a_skipped_rival_gets_what_the_others_left_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps are thought to be slow and turn out fast: what seemed too long fits in the end."""
    slow(monkeypatch, 20.0)
    rng = np.random.default_rng(0)
    level = rng.normal(size=100)
    table = pd.DataFrame(
        {
            "level": level,
            "note": [f"{rng.choice(['sea', 'town'])} {i}" for i in range(100)],
            "label": np.where(level > 0, "up", "down"),
        }
    )
    both = {**NETWORK, "name": "both", "modalities": {"table": {}, "note": {}}}
    recipe = Recipe.model_validate({"models": [NETWORK, both], "data": DATA})
    told = io.StringIO()
    run = pm.fit(table, "label", recipe=recipe, budget=2000, show=Show(told))
    # What is trained in the end is not told of as skipped.
    assert "skipped" not in told.getvalue()
    assert all(not one["skipped"] for one in run.attempts)
    assert set(run.weights) == {"fused", "table"} and run.members["network"].facts["steps"] >= 50
    assert "longer budget" not in told.getvalue()


def test_what_was_skipped_is_counted_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    slow(monkeypatch, 100.0)
    _, told = fit(600, EXPERT, NETWORK)
    assert "1 model skipped within 600 s: a longer budget trains more." in told
    _, told = fit(600, EXPERT, NETWORK, folds=2)
    assert "and so does valid=0.15 instead of 2 folds." in told


def test_seconds_are_those_of_all_folds(monkeypatch: pytest.MonkeyPatch) -> None:
    # A clock that goes on when it is asked: each training takes as long.
    monkeypatch.setattr(learn, "time", SimpleNamespace(perf_counter=count().__next__))
    short = {**NETWORK, "training": {**TRAINING, "epochs": 1}}
    alone, folded = fit(600, short)[0], fit(600, short, folds=4)[0]
    # Four folds, and the model of all rows.
    assert folded.leaderboard[0]["seconds"] == 5 * alone.leaderboard[0]["seconds"] > 0


def test_a_network_is_the_one_model_where_no_expert_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_convex, "_seconds", lambda *_: 1e6)
    run, told = fit(1e-3, EXPERT, NETWORK)
    assert list(run.members) == ["network"]
    assert run.members["network"].facts["steps"] <= gradient.LEAST_STEPS
    assert "expert: skipped, it would not be done in its share of the time" in told
