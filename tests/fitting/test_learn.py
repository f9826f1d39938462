"""What a fit draws, and what it leaves as it was; what was validated is what predicts."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import polymodal as pm
from polymodal.base.errors import UserError
from polymodal.contract.recipe import Recipe
from polymodal.fitting import trials
from polymodal.models.experts.linear import Linear
from polymodal.table.ledger import Ledger
from polymodal.train.loop import Loop

NETWORK = {
    "fusion": "early",
    "width": 16,
    "training": {"epochs": 2, "precision": "bf16", "attention": "plain", "threads": 1},
}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLYMODAL_CACHE", str(tmp_path / "cache"))


def frame(rows: int = 120) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    level = rng.normal(size=rows)
    words = np.where(level + rng.normal(size=rows) > 0, "it goes up", "down it went")
    return pd.DataFrame({"level": level, "note": words, "label": np.where(level > 0, "a", "b")})


def fit(*models: dict[str, Any], seed: int = 0, **options: Any) -> pm.Run:
    recipe = Recipe.model_validate({"models": list(models)})
    return pm.fit(frame(), "label", recipe=recipe, seed=seed, **options)


def weights(run: pm.Run, name: str) -> dict[str, torch.Tensor]:
    return run.members[name].module.state_dict()


def test_a_fit_leaves_the_callers_random_state_alone() -> None:
    torch.manual_seed(5)
    np.random.seed(5)
    random.seed(5)
    before = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()  # type: ignore[index]
    fit({"name": "one", **NETWORK}, {"name": "lines", "learner": "linear"})
    after = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()  # type: ignore[index]
    assert torch.equal(after[0], before[0])
    assert after[1:] == before[1:]


def test_the_same_seed_is_the_same_run_whatever_the_caller_drew() -> None:
    runs = []
    for _ in range(2):
        runs.append(fit({"name": "one", **NETWORK}))
        torch.rand(3)
    first, second = (weights(run, "one") for run in runs)
    assert all(torch.equal(value, second[name]) for name, value in first.items())
    other = weights(fit({"name": "one", **NETWORK}, seed=1), "one")
    assert any(not torch.equal(value, other[name]) for name, value in first.items())


def test_members_and_folds_have_seeds_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    seeds = []
    run = Loop.run

    def watched(loop: Loop) -> Any:
        seeds.append((loop.seed, torch.initial_seed()))
        return run(loop)

    monkeypatch.setattr(Loop, "run", watched)
    fit({"name": "one", **NETWORK}, {"name": "two", **NETWORK}, folds=2)
    assert len(seeds) == len({own for own, _ in seeds}) == 2 * 3
    assert all(own == drawn for own, drawn in seeds)


def test_what_validates_is_what_predicts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A training in bf16 is selected by answers in the precision that it will give."""
    kept: dict[str, Any] = {}
    learn = trials.learn.learn

    def watched(job: Any, member: Any, train: Any, valid: Any, *rest: Any, **options: Any) -> Any:
        trained, scores = learn(job, member, train, valid, *rest, **options)
        kept[member.name] = valid, scores["label"]
        return trained, scores

    monkeypatch.setattr(trials.learn, "learn", watched)
    for model in ({"name": "one", **NETWORK}, {"name": "lines", "learner": "linear"}):
        run = fit(model, kinds={"note": "text"})
        prepared = run.prepare(run.table(frame()), Ledger())
        rows, scores = kept[model["name"]]
        own = run.scores(prepared, rows)[model["name"]]["label"]
        np.testing.assert_allclose(np.stack(own), np.stack(scores), atol=1e-6)
        assert run.members[model["name"]].kernels.precision == (
            "bf16" if model["name"] == "one" else "fp32"
        )


def test_a_member_that_diverges_ends_no_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    number = np.random.default_rng(0).normal(size=40)
    frame = pd.DataFrame({"level": number, "label": np.where(number > 0, "up", "down")})
    fit_one, spoilt = Linear.fit, [True]

    def spoiling(self: Linear, *given: Any, **options: Any) -> Any:
        found = fit_one(self, *given, **options)
        if spoilt and spoilt.pop():
            self.bias.fill_(torch.nan)
        return found

    monkeypatch.setattr(Linear, "fit", spoiling)
    members = [
        {"name": name, "learner": "linear", "modalities": {"table": {}}} for name in ("bad", "good")
    ]
    recipe = Recipe.model_validate({"models": members, "data": {"valid": 0.3}})
    run = pm.fit(frame, "label", recipe=recipe)
    assert list(run.members) == ["good"]
    spoilt += [True, True]
    with pytest.raises(UserError, match="diverges"):
        pm.fit(frame, "label", recipe=recipe)
