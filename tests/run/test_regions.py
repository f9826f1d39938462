"""`predict(interval=)`: what it adds, how often it holds the truth, and its errors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import polymodal as pm
from polymodal.base.errors import UserError
from polymodal.contract.recipe import Recipe

pytestmark = pytest.mark.whole


def table(rows: int, seed: int) -> pd.DataFrame:
    """A number and a class that both depend on `x`; `note` tells more of the class."""
    rng = np.random.default_rng(seed)
    x, z = rng.normal(size=(2, rows))
    label = np.where(x + rng.logistic(size=rows) / 2 > 0, "up", "down")
    note = np.where(rng.random(rows) < 0.8, label, rng.choice(["up", "down"], rows))
    words = [f"it went {way} on day {day}" for way, day in zip(note, z.round(2), strict=True)]
    return pd.DataFrame({"x": x, "note": words, "y": 2 * x + z, "label": label})


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> pm.Run:
    folder = tmp_path_factory.mktemp("regions")
    models = [{"name": "both", "learner": "linear"}]
    data = {"valid": 0.4, "kinds": {"note": "text"}}
    recipe = Recipe.model_validate({"models": models, "data": data})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("POLYMODAL_CACHE", str(folder / "cache"))
        pm.fit(table(600, 0), ["y", "label"], recipe=recipe, out=folder / "run")
    return pm.load(folder / "run")  # what it knows of validation rows is saved


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLYMODAL_CACHE", str(tmp_path / "cache"))


def held(run: pm.Run, rows: pd.DataFrame, level: float) -> tuple[float, float]:
    """The shares of true numbers and of true classes that lie in their regions."""
    found = run.predict(rows, interval=level)
    numbers = (found["y.low"] <= rows["y"]) & (rows["y"] <= found["y.high"])
    classes = [name in own for name, own in zip(rows["label"], found["label.set"], strict=True)]
    return float(numbers.mean()), float(np.mean(classes))


@pytest.mark.parametrize("level", [0.7, 0.95])
def test_the_truth_lies_inside_as_often_as_promised(run: pm.Run, level: float) -> None:
    numbers, classes = held(run, table(1500, 1), level)
    assert abs(numbers - level) < 0.05
    # The likeliest class is always there, and may be right more often than that.
    assert classes > level - 0.05


def test_rows_that_lack_something_go_by_rows_that_lacked_it(run: pm.Run) -> None:
    rows = table(1500, 2)
    whole, lacking = (run.predict(own, interval=0.9) for own in (rows, rows.assign(x=float("nan"))))
    assert (lacking["y.high"] - lacking["y.low"]).mean() > 1.3 * (
        whole["y.high"] - whole["y.low"]
    ).mean()
    assert abs(held(run, rows.assign(x=float("nan")), 0.9)[0] - 0.9) < 0.05


def test_what_knows_nothing_has_the_widest_region(run: pm.Run) -> None:
    nothing = run.predict_row({}, interval=0.9)
    some = run.predict_row({"x": 0.0, "note": "it went up on day 0"}, interval=0.9)
    assert nothing["y.high"] - nothing["y.low"] > some["y.high"] - some["y.low"]
    assert nothing["label"] in nothing["label.set"] and nothing["y.low"] < nothing["y"]


def test_without_an_interval_nothing_is_added(run: pm.Run) -> None:
    assert not {"y.low", "label.set"} & set(run.predict_row({"x": 0.0}))


@pytest.mark.parametrize("level", [0.0, 1.0, 1.5, -0.1])
def test_what_is_no_probability_is_refused(run: pm.Run, level: float) -> None:
    with pytest.raises(UserError, match="no probability"):
        run.predict_row({"x": 0.0}, interval=level)


def test_evaluation_measures_coverage_and_size(run: pm.Run) -> None:
    found = pm.evaluate(run, table(400, 3), contributions="none", explain=0)
    for name, size in (("y", 4.2), ("label", 1.5)):
        region = found.regions[name]
        assert region["level"] == 0.9
        span = region["coverage"]
        assert span["low"] <= span["value"] <= span["high"] and abs(span["value"] - 0.9) < 0.06
        assert region["size"] == pytest.approx(size, rel=0.35)
    assert "for a probability of 0.9" in found.text()
