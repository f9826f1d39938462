from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import polymodal as pm
from polymodal.base.errors import UserError
from polymodal.contract.recipe import Recipe
from polymodal.run.saved import save
from polymodal.train.interrupt import Interrupted
from polymodal.train.loop import Loop

pytestmark = pytest.mark.whole

FUSION = """
from __future__ import annotations

from dataclasses import dataclass

import torch

from polymodal.contract.batch import Fused
from polymodal.contract.fusion import Fusion


@dataclass
class Half:
    share: float = 0.5


class Halves(Fusion):
    def __init__(self, names, width):
        super().__init__()

    def forward(self, tokens):
        pooled = torch.stack([t.mean() for t in tokens.values()]).sum(0) * Half().share
        return Fused(pooled, tokens)
"""
TASK = """
from polymodal.tasks.classify import Classify


class Mine(Classify):
    pass
"""


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run with a fusion and an task of the user's own, whose files are gone since."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("POLYMODAL_CACHE", str(tmp_path / "cache"))
    Path("mine.py").write_text(FUSION)
    Path("task.py").write_text(TASK)
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.normal(size=60), "text": ["one", "two"] * 30})
    frame["label"] = np.where(frame["a"] > 0, "up", "down")
    frame.to_csv("train.csv", index=False)
    recipe = Recipe.model_validate(
        {
            "targets": {"label": "task.py:Mine"},
            "fusion": "mine.py:Halves",
            "width": 8,
            "training": {"epochs": 1},
        }
    )
    pm.fit("train.csv", recipe=recipe, kinds={"text": "text"}, out="run")
    os.rename("mine.py", "elsewhere.py")
    os.remove("task.py")
    return tmp_path / "run"


def test_a_run_carries_its_own_components(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    moved = run.rename(run.with_name("moved"))
    monkeypatch.chdir("/")
    loaded = pm.load(moved, trust=True)
    assert type(loaded.tasks["label"]).__name__ == "Mine"
    found = loaded.predict(run.parent / "train.csv")
    assert len(found["label"]) == 60
    again = moved.with_name("again")
    save(loaded, again)
    assert pm.load(again, trust=True).predict(run.parent / "train.csv") == found


def test_untrusted_code_is_refused_and_not_executed(run: Path) -> None:
    for file in (run / "code").iterdir():
        file.write_text("raise SystemExit('executed')")
    with pytest.raises(UserError, match="code of its own"):
        pm.load(run)


@pytest.mark.parametrize("name", ["/tmp/evil.py:X", "../evil.py:X", "code/../../evil.py:X"])
@pytest.mark.parametrize("part", ["forms", "tasks", "members"])
def test_files_elsewhere_are_never_executed(run: Path, name: str, part: str) -> None:
    evil = run.parent / "evil.py"
    evil.write_text("raise SystemExit('executed')")
    described = json.loads((run / "run.json").read_text())
    item = described[part][0]
    if part == "members":
        item["spec"]["fusion"] = name
    else:
        item["name"] = name
    (run / "run.json").write_text(json.dumps(described))
    with pytest.raises(UserError, match="outside of its own folder"):
        pm.load(run, trust=True)


def test_another_run_in_its_place_takes_the_code_away(run: Path) -> None:
    (run / "code" / "mine.py").write_text("# a file of the user's")
    own = [name for name in os.listdir(run / "code") if name != "mine.py"]
    assert len(own) == 2
    # A run's own recipe may name the copies in it, which then are needed once more.
    table = str(run.parent / "train.csv")
    mine = next(name for name in own if name.startswith("mine"))
    quick = {"width": 8, "training": {"epochs": 1}}
    again = Recipe.model_validate({"fusion": f"{run}/code/{mine}:Halves", **quick})
    pm.fit(table, "label", recipe=again, kinds={"text": "text"}, out=run, overwrite=True)
    assert sorted(os.listdir(run / "code")) == sorted(["mine.py", mine])
    pm.fit(
        table,
        "label",
        recipe=Recipe.model_validate(quick),
        kinds={"text": "text"},
        out=run,
        overwrite=True,
    )
    assert os.listdir(run / "code") == ["mine.py"]


def test_a_component_that_has_changed_is_another_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("POLYMODAL_CACHE", str(tmp_path / "cache"))
    Path("mine.py").write_text(FUSION)
    frame = pd.DataFrame({"a": np.arange(40) % 7 + 0.5, "label": ["x", "y"] * 20})
    recipe = Recipe.model_validate({"fusion": "mine.py:Halves", "training": {"epochs": 1}})

    def stop(*_: object) -> None:
        raise Interrupted("stop")

    with monkeypatch.context() as patch:
        patch.setattr(Loop, "_step", stop)
        with pytest.raises(Interrupted):
            pm.fit(frame, "label", recipe=recipe, out="run")
    Path("mine.py").write_text(FUSION.replace("0.5", "0.25"))
    with pytest.raises(UserError, match="something else"):
        pm.fit(frame, "label", recipe=recipe, out="run")
    Path("mine.py").write_text(FUSION)
    assert pm.fit(frame, "label", recipe=recipe, out="run").leaderboard
