"""What networks of several modalities start from, where they lack time for all of their steps."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import polymodal as pm
from polymodal.base.tensors import read_tensors
from polymodal.contract.recipe import Recipe
from polymodal.fitting import helps, learn, plan
from polymodal.fitting.learners import gradient
from polymodal.report.console import Show

pytestmark = pytest.mark.whole

State = dict[str, torch.Tensor]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLYMODAL_CACHE", str(tmp_path / "cache"))
    # One expert and one joint network are enough, of few steps.
    experts = helps.experts
    linear = partial(filter, lambda one: one[0] == "linear")
    monkeypatch.setattr(helps, "experts", lambda *given: linear(experts(*given)))
    monkeypatch.setattr(plan, "FURTHER", ())
    monkeypatch.setattr(plan, "training", lambda *_, **__: plan.Training.model_validate(TRAINING))
    monkeypatch.setattr(gradient, "LEAST_STEPS", 5)


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Of every network that asks: its trial, the steps before it, its encoders as they start, and
    what its rivals had kept."""
    found: list[Any] = []
    begin = gradient.begin

    def noted(model: Any, trial: Any) -> int:
        steps = begin(model, trial)
        encoders = zip(model.names, model.encoders, strict=True)
        states = {n: {k: v.clone() for k, v in e.state_dict().items()} for n, e in encoders}
        kept: dict[str, State] = {}
        made = [0]
        for rival, folder in trial.rivals:
            tensors, described = read_tensors(folder / learn.DONE)
            made.append(json.loads(described["facts"])["best_step"])
            own = {k.removeprefix("encoders.0."): v for k, v in tensors.items()}
            kept.update(dict.fromkeys(rival.modalities, own))
        assert steps == max(made)
        found.append((trial, steps, states, kept))
        return steps

    monkeypatch.setattr(gradient, "begin", noted)
    return found


def slow(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Steps of networks are measured to take so long."""
    choose = gradient.choose

    def measured(*given: Any, **options: Any) -> Any:
        return replace(choose(*given, **options), seconds=seconds)

    monkeypatch.setattr(gradient, "choose", measured)


# So long that what other work takes of it does not matter: of 80 steps, by what they are measured
# to take, a network of one modality has time for 10, and a fusion after them for 60.
BUDGET, STEP, STEP_OF_FOLDS = 3000, 35.0, 11.6
TRAINING = {"epochs": 10, "batch_size": 8, "precision": "fp32", "threads": 1}


def table(rows: int = 80) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    kinds, levels = rng.integers(0, 2, (2, rows))
    return pd.DataFrame(
        {
            "note": [f"{'calm' if k else 'dark'} sea on day {i}" for i, k in enumerate(kinds)],
            "level": levels + 0.2 * rng.normal(size=rows),
            "label": np.where(kinds == levels, "same", "other"),
        }
    )


def fit(**how: Any) -> pm.Run:
    return pm.fit(table(), "label", valid=0.2, show=Show.silent(), **how)


def test_short_of_time_it_starts_from_the_encoders_of_its_rivals(
    begun: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow(monkeypatch, STEP)
    run = fit(budget=BUDGET)
    trial, steps, states, kept = next(one for one in begun if len(one[2]) == 2)
    assert trial.member.name == "note+table" and set(states) == {"note", "table"}
    known = {one["name"]: one for one in run.attempts}
    assert {rival.name for rival, _ in trial.rivals} == {"note", "table"}
    # What it started from counts among its steps.
    joint, facts = known["note+table"], run.members.get("note+table")
    assert joint["steps"] > steps > 0
    assert facts is None or facts.facts["steps"] + facts.facts["begun"] == joint["steps"]
    # Its encoders are the rivals' to the bit, as these lay when it began.
    for name, state in states.items():
        assert all(torch.equal(value, kept[name][key]) for key, value in state.items())
    # A rival starts from nothing.
    assert all(not one[0].rivals and not one[1] for one in begun if len(one[2]) == 1)


def test_with_time_for_all_steps_and_where_models_are_spelled_out_it_starts_from_nothing(
    begun: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = fit(budget=BUDGET)
    assert begun == [] and "note+table" in {one["name"] for one in run.attempts}
    slow(monkeypatch, STEP)
    models = [{"name": "both", "width": 8, "training": TRAINING}]
    fit(budget=BUDGET, recipe=Recipe.model_validate({"models": models, "rivals": True}))
    assert begun and all(steps == 0 and not trial.rivals for trial, steps, *_ in begun)


def test_a_fold_starts_from_what_has_seen_no_row_that_it_holds_out(
    begun: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow(monkeypatch, STEP_OF_FOLDS)
    pm.fit(table(120), "label", folds=2, budget=BUDGET, show=Show.silent())
    joint = [trial for trial, _, states, _ in begun if len(states) == 2]
    assert [trial.folder.name for trial in joint] == ["0", "1", "all"]
    for trial in joint:
        assert len(trial.rivals) == 2
        assert {folder.name for _, folder in trial.rivals} == {trial.folder.name}
