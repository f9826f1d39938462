"""What a fit writes to a real TensorBoard log."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import polymodal as pm
from polymodal.base.errors import UserError
from polymodal.contract.recipe import Recipe
from polymodal.train.trackers import Trackers

pytestmark = pytest.mark.whole


def logged(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Name -> (step, value) of every number in a TensorBoard log."""
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    found = {}
    for path in {p.parent for p in folder.rglob("events*")}:
        events = accumulator.EventAccumulator(str(path)).Reload()
        for name in events.Tags()["scalars"]:
            found[name] = [(e.step, e.value) for e in events.Scalars(name)]
    return found


def test_steps_rise_from_one_training_to_the_next(tmp_path: Path) -> None:
    trackers = Trackers(["tensorboard"], tmp_path, {"seed": 1})
    trackers.start()
    for training in ("a+b (gated)", "b"):
        for step in (10, 20):
            trackers.log(training, step, {"loss": 1 / step})
    trackers.close()
    found = logged(tmp_path)
    assert [step for step, _ in found["a_b _gated_/loss"]] == [10, 20]
    assert [step for step, _ in found["b/loss"]] == [30, 40]
    assert [value for _, value in found["b/step"]] == [10, 20]
    assert [value for _, value in found["b/loss"]] == pytest.approx([0.1, 0.05])


def test_every_member_and_fold_has_names_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POLYMODAL_CACHE", str(tmp_path / "cache"))
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"a": rng.normal(size=60), "b": rng.normal(size=60)})
    table["label"] = np.where(table["a"] > 0, "up", "down")
    quick = {"epochs": 1, "precision": "fp32", "threads": 1}
    members = [
        {"name": name, "modalities": {"table": {"columns": [name]}}, "width": 8, "training": quick}
        for name in ("a", "b")
    ]
    recipe = Recipe.model_validate({"models": members, "data": {"folds": 2}})
    pm.fit(table, "label", recipe=recipe, out=tmp_path / "run", trackers=["tensorboard"])
    found = logged(tmp_path / "run" / "logs")
    losses = [f"{member}/fold {k}/valid/label" for member in "ab" for k in (0, 1)]
    assert {name for name in found if name.endswith("/valid/label")} == set(losses)
    last = [found[name][-1][0] for name in losses]
    assert last == sorted(set(last))


def test_an_unknown_tracker_is_named() -> None:
    with pytest.raises(UserError, match="did you mean 'wandb'"):
        Trackers(["wandbb"], Path(), {})
