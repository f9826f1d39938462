"""What the lines of the leaderboard hold."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import polymodal as pm
from polymodal.recipe import Recipe


def test_every_number_that_a_member_holds_is_a_parameter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POLYMODAL_CACHE", str(tmp_path / "cache"))
    level = np.random.default_rng(0).normal(size=60)
    table = {"level": level, "note": ["sea", "town"] * 30, "label": np.where(level > 0, "up", "no")}
    expert = {"name": "expert", "learner": "linear", "modalities": {"note": {}, "table": {}}}
    net = {"name": "net", "modalities": {"table": {}}, "width": 8, "training": {"epochs": 1}}
    recipe = Recipe.model_validate({"members": [expert, net]})
    run = pm.fit(pd.DataFrame(table), "label", recipe=recipe, kinds={"note": "text"})
    for line in run.leaderboard:
        held = [run.members[n].module.state_dict().values() for n in line["members"]]
        size = sum(tensor.numel() for tensors in held for tensor in tensors)
        assert line["parameters"] == size and bool(size) == bool(held)
