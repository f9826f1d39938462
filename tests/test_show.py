"""What a fit prints."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import polymodal as pm
from polymodal.recipe import Recipe
from polymodal.show import Show

TRAINING = {
    "epochs": 1,
    "precision": "fp32",
    "attention": "plain",
    "memory_format": "contiguous",
    "threads": 1,
}


def fitted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *members: dict[str, Any]
) -> tuple[pm.Run, str]:
    """A run of these members, and what its fit printed on a terminal of 80 characters."""
    monkeypatch.setenv("POLYMODAL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "80")
    rng = np.random.default_rng(0)
    level = rng.normal(size=60)
    notes = [f"{rng.choice(['sea', 'wood', 'town'])} {i}" for i in range(60)]
    table = {"level": level, "note": notes, "label": np.where(level > 0, "up", "down")}
    told = io.StringIO()
    recipe = Recipe.model_validate({"members": list(members)})
    run = pm.fit(pd.DataFrame(table), "label", recipe=recipe, show=Show(told))
    return run, told.getvalue()


def network(name: str, *modalities: str) -> dict[str, Any]:
    read: dict[str, Any] = {modality: {} for modality in modalities}
    return {"name": name, "modalities": read, "width": 8, "training": TRAINING}


def test_every_number_that_a_member_holds_is_a_parameter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expert = {"name": "expert", "learner": "linear", "modalities": {"note": {}, "table": {}}}
    run, told = fitted(tmp_path, monkeypatch, expert, network("net", "table"))
    for line in run.leaderboard:
        held = [run.members[n].module.state_dict().values() for n in line["members"]]
        size = sum(tensor.numel() for tensors in held for tensor in tensors)
        assert line["parameters"] == size > 0
        assert f"{size:,}" in told
