"""The loop where numbers are not finite, and where time is short or long."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

import polymodal as pm
from polymodal.base.errors import UserError
from polymodal.contract.recipe import Recipe
from polymodal.tasks.classify import Classify
from polymodal.train import loop as train

pytestmark = pytest.mark.whole


@pytest.fixture
def fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., pm.Run]:
    monkeypatch.setenv("POLYMODAL_CACHE", str(tmp_path / "cache"))
    number = np.random.default_rng(0).normal(size=100)
    data = pd.DataFrame({"level": number, "label": np.where(number > 0, "up", "down")})

    def run(**training: Any) -> pm.Run:
        settings = {"precision": "fp32", "threads": 1, "batch_size": 16, "epochs": 4, **training}
        return pm.fit(
            data, "label", recipe=Recipe.model_validate({"width": 8, "training": settings})
        )

    return run


def spoilt(monkeypatch: pytest.MonkeyPatch, value: float, *steps: int) -> None:
    """The loss of these training steps becomes `value`, and its gradient NaN."""
    before, seen = train.losses, []

    def changed(*given: Any) -> dict[str, Tensor]:
        found = before(*given)
        seen.append(1)
        return {n: v * value if len(seen) in steps else v for n, v in found.items()}

    monkeypatch.setattr(train, "losses", changed)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_an_update_that_is_not_finite_is_left_out(
    value: float, fit: Callable[..., pm.Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    spoilt(monkeypatch, value, 2, 3, 7)
    run = fit()
    weights = run.members["model"].module.state_dict().values()
    assert all(torch.isfinite(w).all() for w in weights if w.is_floating_point())
    assert np.isfinite(run.leaderboard[0]["value"])


def test_a_loss_that_stays_infinite_is_one_clear_error(
    fit: Callable[..., pm.Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    spoilt(monkeypatch, np.nan, *range(3, 1000))
    with pytest.raises(UserError, match=r"'model' diverges(.|\n)*20 steps in a row(.|\n)*lower"):
        fit(epochs=10)


def test_a_rate_far_too_large_is_one_clear_error(fit: Callable[..., pm.Run]) -> None:
    with pytest.raises(UserError, match=r"'model' diverges(.|\n)*validation(.|\n)*training\.lr"):
        fit(lr=1e30, epochs=2)


def test_a_validation_that_is_not_a_number_is_never_the_best(
    fit: Callable[..., pm.Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    before, found = Classify.criterion, []

    def first_is_nan(self: Classify, *given: Any) -> float:
        found.append(before(self, *given))
        return found[-1] if len(found) > 1 else np.nan

    monkeypatch.setattr(Classify, "criterion", first_is_nan)
    facts = fit(patience=0).members["model"].facts
    validated = [line["step"] for line in facts["history"]]
    assert facts["best_step"] == validated[1 + int(np.argmin(found[1 : len(validated)]))]


def test_the_average_is_measured_with_the_running_statistics() -> None:
    loop = train.Loop.__new__(train.Loop)
    loop.model = torch.nn.BatchNorm1d(2)
    loop.params = list(loop.model.parameters())
    loop.average = [torch.full_like(p, 7.0) for p in loop.params]
    loop.model(torch.randn(8, 2) + 5)
    before = {key: value.clone() for key, value in loop.model.state_dict().items()}
    with loop._averaged():
        inside = {key: value.clone() for key, value in loop.model.state_dict().items()}
    assert before["running_mean"].min() > 0.1
    for key, value in before.items():
        assert torch.equal(loop.model.state_dict()[key], value)
        wanted = value if key not in ("weight", "bias") else torch.full_like(value, 7.0)
        assert torch.equal(inside[key], wanted)
