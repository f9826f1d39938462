"""Rows that a model may not learn from leave no trace in it, however strange they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import polymodal as pm
from polymodal.contract.recipe import Recipe
from polymodal.fitting import trials
from polymodal.fitting.learners import gradient
from polymodal.models.experts import _boosting

ROWS, HELD = 40, 12
KINDS = {
    "level": "number",
    "colour": "category",
    "kept": "set",
    "note": "text",
    "curve": "series",
    "photo": "image",
}
# What validation chooses is left to chance in none of these: the last step, and no stop before it.
TRAINING = {
    "epochs": 2,
    "batch_size": 16,
    "select": "last",
    "patience": 0,
    "precision": "fp32",
    "attention": "plain",
    "memory_format": "contiguous",
    "threads": 1,
}
NETWORK = {"name": "network", "width": 8, "training": TRAINING}
EXPERT = {"modalities": {"table": {}, "note": {}}}
LINEAR = {"name": "linear", "learner": "linear", **EXPERT}
TREES = {"name": "trees", "learner": "trees", **EXPERT}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLYMODAL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(_boosting, "MOST_ROUNDS", 60)


def clean(rows: int = ROWS + HELD) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    level = rng.normal(size=rows)
    return pd.DataFrame(
        {
            "level": level,
            "colour": rng.choice(["red", "blue"], rows),
            "kept": rng.choice(["dry;cool", "dry", "cool"], rows),
            "note": [f"{rng.choice(['calm sea', 'busy town'])} {i}" for i in range(rows)],
            "curve": list(rng.normal(size=(rows, 9, 1)).astype(np.float32)),
            "photo": list(rng.integers(0, 256, (rows, 12, 12, 3), np.uint8)),
            "label": np.where(level > 0, "up", "down"),
        }
    )


def poisoned(frame: pd.DataFrame, rows: Any) -> pd.DataFrame:
    """Some rows with other inputs, far from what the others hold."""
    frame, rng = frame.copy(), np.random.default_rng(1)
    for row in rows:
        frame.at[row, "level"] = 1e6 + row
        frame.at[row, "colour"] = f"garbage {row}"
        frame.at[row, "kept"] = f"garbage;{row}"
        frame.at[row, "note"] = f"garbage{row} zzz{row} " * 9
        frame.at[row, "curve"] = (1e5 * rng.normal(size=(30, 1))).astype(np.float32)
        frame.at[row, "photo"] = np.full((12, 12, 3), 255, np.uint8)
    return frame


def traces(run: pm.Run) -> dict[str, Any]:
    """All that a run has learned: states of forms and tasks, parameters and buffers of members."""
    found: dict[str, Any] = {f"form {i}": form.state for i, form in enumerate(run.forms)}
    found |= {f"task {name}": task.state for name, task in run.tasks.items()}
    for name, member in run.members.items():
        found |= {f"{name} {k}": v.clone() for k, v in member.module.state_dict().items()}
    return found


def differing(first: dict[str, Any], second: dict[str, Any]) -> list[str]:
    assert first.keys() == second.keys()

    def same(a: Any, b: Any) -> bool:
        return torch.equal(a, b) if isinstance(a, torch.Tensor) else bool(a == b)

    return [name for name, value in first.items() if not same(value, second[name])]


def fitted(train: pd.DataFrame, valid: pd.DataFrame | None = None, **data: Any) -> pm.Run:
    described = {"models": [NETWORK, LINEAR, TREES], "compare": True, "data": data}
    recipe = Recipe.model_validate(described)
    return pm.fit(train, "label", valid=valid, recipe=recipe, kinds=KINDS)


def test_validation_rows_leave_no_trace() -> None:
    frame = clean()
    train, valid = frame[:ROWS], frame[ROWS:].reset_index(drop=True)
    run = fitted(train, valid)
    assert set(run.members) == {"network", "linear", "trees"}
    before = traces(run)
    assert any(form.state for form in run.forms)
    spoilt = fitted(train, poisoned(valid, range(HELD)))
    assert differing(before, traces(spoilt)) == []
    # Nor do those of a test.
    pm.evaluate(run, poisoned(valid, range(HELD)), contributions="none", explain=0)
    assert differing(before, traces(run)) == []
    # The comparison notices what does leave a trace.
    assert differing(before, traces(fitted(poisoned(train, [0]), valid)))


def test_rows_held_out_of_a_fold_leave_no_trace_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forms, adapted encoders and trained weights of the first fold."""
    learn, found, held = trials.learn.learn, [], []

    def watched(job: Any, member: Any, train: Any, valid: Any, *rest: Any, **given: Any) -> Any:
        trained, scores = learn(job, member, train, valid, *rest, **given)
        if given["part"] == "0":
            states = {key: form.state for key, form in job.forms.items()}
            states |= {k: v.clone() for k, v in trained.module.state_dict().items()}
            found.append(states)
            held.append(valid)
        return trained, scores

    monkeypatch.setattr(trials.learn, "learn", watched)
    frame = clean()
    fitted(frame, folds=2, split="random")
    fitted(poisoned(frame, held[0]), folds=2, split="random")
    assert len(found) == 6 and held[0].tolist() == held[3].tolist()
    assert all(differing(one, other) == [] for one, other in zip(found, found[3:], strict=False))


def test_out_of_fold_answers_are_of_their_own_rows() -> None:
    """Each row is answered by the fold that held it out, and the answer stays with its row."""
    frame = clean()[["level", "label"]]
    alone = {**LINEAR, "modalities": {"table": {}}}
    described = {"models": [alone], "data": {"folds": 2}}
    run = pm.fit(frame, "label", recipe=Recipe.model_validate(described))
    assert run.leaderboard[0]["value"] > 0.9


@pytest.mark.parametrize("fusion", ["late", {"name": "weighted", "weights": "validation"}])
def test_a_mixture_that_folds_chose_is_that_of_the_model(fusion: Any) -> None:
    """One modality tells all and the other nothing: the refit may not weigh them alike again."""
    frame = clean(80)[["level", "note", "label"]]
    model = {**NETWORK, "fusion": fusion, "training": {**TRAINING, "epochs": 20}}
    described = {"models": [model], "data": {"folds": 2}}
    run = pm.fit(frame, "label", recipe=Recipe.model_validate(described), kinds={"note": "text"})
    alpha = run.members["network"].module.fusion.alpha
    weights = dict(zip(run.members["network"].module.names, alpha.softmax(0).tolist(), strict=True))
    assert weights["table"] > 0.7
    assert list(weights.values()) == pytest.approx(run.members["network"].facts["mixture"])


def test_a_network_that_is_only_timed_learns_nothing() -> None:
    """Measuring adapts a copy of its own: the plan may look at training rows alone."""
    frame = clean()[["level", "label"]]
    model = {**NETWORK, "modalities": {"table": {}}}
    recipe = Recipe.model_validate({"models": [model], "data": {"valid": 0.2, "split": "random"}})
    untimed = pm.fit(frame, "label", recipe=recipe)
    timed = pm.fit(frame, "label", recipe=recipe, budget=600)
    assert differing(traces(untimed), traces(timed)) == []
    assert gradient.SAMPLE > ROWS
