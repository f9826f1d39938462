"""What experts are given of the whole fit, and a group column that is respected everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import polymodal as pm
from polymodal.base.errors import UserError
from polymodal.contract.recipe import Member, Modality, Recipe
from polymodal.models.experts import _stacking
from polymodal.models.experts.linear import Linear

pytestmark = pytest.mark.whole


@pytest.fixture
def frame() -> pd.DataFrame:
    """40 people with 10 rows each; the label is a person's own, with a hint in every row."""
    rng = np.random.default_rng(0)
    person = np.repeat(np.arange(40), 10)
    up = np.repeat(rng.random(40) > 0.5, 10)
    hint = np.repeat(rng.normal(size=40), 10) + up + rng.normal(scale=0.1, size=400)
    return pd.DataFrame(
        {"person": [f"p{i}" for i in person], "hint": hint, "label": np.where(up, "up", "down")}
    )


def recipe(group: str | None) -> Recipe:
    member = Member(name="table", learner="linear", modalities={"table": Modality()})
    return Recipe.model_validate(
        {"targets": {"label": None}, "data": {"group": group, "drop": []}, "models": [member]}
    )


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLYMODAL_CACHE", str(tmp_path / "cache"))


def test_experts_get_the_groups(frame: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    fit = Linear.fit

    def watched(self: Linear, *args: Any) -> None:
        seen.append(args[5])
        fit(self, *args)

    monkeypatch.setattr(Linear, "fit", watched)
    pm.fit(frame, recipe=recipe("person"))
    assert seen[0].tolist() == np.repeat(np.arange(40), 10).tolist()


def test_experts_share_what_they_fit_alike(
    frame: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []
    alone = _stacking._alone

    def watched(*args: Any) -> Any:
        seen.append(1)
        return alone(*args)

    monkeypatch.setattr(_stacking, "_alone", watched)
    settings = recipe("person").model_dump()
    settings["models"].append({**settings["models"][0], "name": "again"})
    pm.fit(frame, recipe=Recipe.model_validate(settings))
    assert len(seen) == 1


def test_validation_intervals_are_of_groups(frame: pd.DataFrame) -> None:
    by_row = frame.drop(columns="person")
    valid = frame.assign(person=frame["person"] + "v")
    grouped = pm.fit(frame, recipe=recipe("person"), valid=valid).leaderboard[0]
    alone = pm.fit(by_row, recipe=recipe(None), valid=valid.drop(columns="person")).leaderboard[0]
    assert grouped["value"] == pytest.approx(alone["value"], abs=0.05)
    width = {name: one["high"] - one["low"] for name, one in (("g", grouped), ("r", alone))}
    assert width["g"] > 2 * width["r"]


def test_missing_groups_are_not_one_group(frame: pd.DataFrame) -> None:
    run = pm.fit(frame, recipe=recipe("person"))
    test = frame.assign(person=frame["person"].where(frame.index % 3 > 0))
    with pytest.raises(UserError, match="have no group"):
        pm.evaluate(run, test)


def test_a_metric_that_validation_leaves_undefined_is_not_a_number() -> None:
    words = [["a", "b"], ["c", "d"]] * 20
    tags = [["O", "O"]] * 39 + [["B-X", "O"]]
    frame = pd.DataFrame({"words": words, "tags": tags})
    valid = pd.DataFrame({"words": words[:4], "tags": tags[:4]})
    settings = {"targets": {"tags": None}, "width": 8, "training": {"epochs": 1}}
    run = pm.fit(frame, recipe=Recipe.model_validate(settings), valid=valid)
    assert np.isnan(run.leaderboard[0]["value"]) or run.leaderboard[0]["value"] == 0
