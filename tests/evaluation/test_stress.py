from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.integrate import trapezoid

import polymodal as pm
from polymodal.contract.recipe import Member, Modality, Recipe
from polymodal.evaluation.stress import LEVELS, stress

pytestmark = pytest.mark.whole


@pytest.fixture
def frame() -> pd.DataFrame:
    """The note tells the label; the number repeats it with noise."""
    rng = np.random.default_rng(0)
    up = rng.random(160) > 0.5
    return pd.DataFrame(
        {
            "note": np.where(up, "a bright and early morning", "some dull late evening"),
            "x": up + rng.normal(scale=0.6, size=160),
            "label": np.where(up, "up", "down"),
        }
    )


@pytest.fixture
def run(frame: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pm.Run:
    monkeypatch.setenv("POLYMODAL_CACHE", str(tmp_path / "cache"))
    sets = {"note": ["note"], "table": ["table"], "both": ["note", "table"]}
    members = [
        Member(name=name, learner="linear", modalities={m: Modality() for m in own})
        for name, own in sets.items()
    ]
    settings = {"targets": {"label": None}, "models": members, "data": {"kinds": {"note": "text"}}}
    return pm.fit(frame, recipe=Recipe.model_validate(settings))


def test_curves_start_clean_and_fall(run: pm.Run, frame: pd.DataFrame) -> None:
    table = run.table(frame)
    found = stress(run, table)["label"]
    measured = pm.evaluate(run, frame, contributions="none", explain=0)
    clean = measured.targets["label"]["accuracy"]["value"]
    assert set(found["corruptions"]) == {"note", "table"}
    for curves in found["corruptions"].values():
        for curve in curves.values():
            assert curve["fused"][0] == pytest.approx(clean)
            assert len(curve["fused"]) == len(LEVELS)
            area = trapezoid(curve["fused"], LEVELS)
            assert curve["tau"] == pytest.approx(area)
            falls = np.array(curve["fused"]) - curve["fused"][0]
            late = np.array(curve["late_fusion"]) - curve["late_fusion"][0]
            assert curve["rho"] == pytest.approx((falls - late).sum())
    wordless = found["corruptions"]["note"]["dropped_words"]["singles"]
    assert wordless["note"][-1] < wordless["note"][0] - 0.2
    assert wordless["table"] == [wordless["table"][0]] * len(LEVELS)


def test_all_missing_is_the_score_without(run: pm.Run, frame: pd.DataFrame) -> None:
    table = run.table(frame)
    missing = stress(run, table)["label"]["missing"]
    for modality in ("note", "table"):
        for absent, level in (([], 0), ([modality], -1)):
            right = np.mean(run.predict(frame, absent=absent)["label"] == frame["label"])
            assert missing[modality]["fused"][level] == pytest.approx(right)


def test_the_order_of_rows_changes_nothing(run: pm.Run, frame: pd.DataFrame) -> None:
    forward = stress(run, run.table(frame))
    backward = stress(run, run.table(frame[::-1].reset_index(drop=True)))
    assert _close(forward, backward)


def _close(a: object, b: object) -> bool:
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_close(a[k], b[k]) for k in a)
    return bool(np.allclose(a, b)) if isinstance(a, list | float) else a == b
