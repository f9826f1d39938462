"""A fit that learns from another run: what it learns, what it says of it, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typed import polymodal

import polymodal as pm
from polymodal.base.errors import UserError
from polymodal.contract.recipe import Recipe
from polymodal.report.console import Show

pytestmark = pytest.mark.whole

ROWS = 120
TRAINING = {
    "epochs": 12,
    "batch_size": 16,
    "lr": 0.02,
    "precision": "fp32",
    "attention": "plain",
    "memory_format": "contiguous",
    "threads": 1,
}


def table(flipped: bool = False) -> pd.DataFrame:
    """Whether a level is high, or that it is not; how high, or how low."""
    level = np.random.default_rng(0).normal(size=ROWS)
    high = (level > 0) ^ flipped
    return pd.DataFrame(
        {
            "level": level,
            "other": np.random.default_rng(1).normal(size=ROWS),
            "label": np.where(high, "yes", "no"),
            "amount": np.where(flipped, -1, 1) * level * 10,
        }
    )


def fit(frame: pd.DataFrame, target: Any, out: Path, **more: Any) -> pm.Run:
    described: dict[str, Any] = {"width": 8, "training": TRAINING, "data": {"drop": []}}
    unused = {"label", "amount"} - set([target] if isinstance(target, str) else target)
    recipe = Recipe.model_validate(described)
    return pm.fit(
        frame, target, recipe=recipe, drop=sorted(unused), out=out, show=Show.silent(), **more
    )


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("teacher") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("POLYMODAL_CACHE", str(out.parent / "cache"))
        fit(table(), ["label", "amount"], out)
    return out


def agree(run: pm.Run) -> tuple[float, float]:
    """With the teacher's labels, and the correlation with its amounts."""
    found, true = run.predict(table()), table()
    amounts = np.array(found["amount"], float)
    same = np.mean([a == b for a, b in zip(found["label"], true["label"], strict=True)])
    return float(same), float(np.corrcoef(amounts, true["amount"])[0, 1])


def test_a_teacher_is_believed_by_its_share(teacher, tmp_path):
    """Of a table whose labels say the opposite."""
    wrong = table(flipped=True)
    shares = {share: {"run": str(teacher), "share": share} for share in (1.0, 0.05)}
    believed, doubted = (
        fit(wrong, ["label", "amount"], tmp_path / str(share), teacher=given)
        for share, given in shares.items()
    )
    assert min(agree(believed)) > 0.8
    assert max(agree(doubted)) < 0.3


def test_a_run_says_who_taught_it(teacher, tmp_path):
    run = pm.fit(table(), "label", drop=["amount"], teacher=teacher, out=tmp_path / "run")
    assert [member.name for member in run.recipe.models] == ["student"]
    assert run.origin["teacher"]["run"] == str(teacher.resolve())
    assert run.origin["teacher"]["share"] == run.recipe.teacher.share == 0.9
    assert pm.load(tmp_path / "run").origin["teacher"] == run.origin["teacher"]


def test_a_teacher_answers_training_rows_alone(teacher, tmp_path, monkeypatch):
    asked, scores = [], pm.Run.scores

    def known(run: pm.Run, prepared: Any, rows: Any, **how: Any) -> Any:
        asked.append(len(rows))
        return scores(run, prepared, rows, **how)

    monkeypatch.setattr(pm.Run, "scores", known)
    fit(table(), "label", tmp_path / "run", teacher=teacher, valid=0.25)
    assert asked[0] == ROWS * 3 // 4


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a fusion of the user's own, beside its table and a recipe for more of its like."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "mine.py").write_text(
        "from polymodal.fusion.sum import Sum\n\n\nclass Mine(Sum):\n    pass\n"
    )
    table().drop(columns="amount").to_csv(folder / "t.csv", index=False)
    settings = json.dumps({"train": "t.csv", "width": 8, "training": {**TRAINING, "epochs": 1}})
    (folder / "r.yaml").write_text(settings)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("POLYMODAL_CACHE", str(folder / "cache"))
        patch.chdir(folder)
        assert polymodal(*FIT, "--fusion", f"{folder}/mine.py:Mine", "--out", "run") == 0
    return folder


FIT = ("fit", "r.yaml", "--target", "label")


@pytest.mark.parametrize("flag", ["--teacher", "--from"])
def test_code_that_a_run_brings_is_executed_for_who_trusts_it(
    own, flag, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(own)
    words = (*FIT, flag, "run", "--out", str(tmp_path / "new"))
    assert polymodal(*words) == 2
    assert "brings Python code of its own" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()
    assert polymodal(*words, "--trust") == 0


def test_what_cannot_be_taught_is_refused(teacher, tmp_path):
    expert = Recipe.model_validate({"models": [{"name": "lin", "learner": "linear"}]})
    cases: list[tuple[str, dict[str, Any]]] = [
        ("cannot learn from a teacher", {"target": "label", "recipe": expert}),
        ("cannot teach 'level'", {"target": "level"}),
        ("cannot teach 'label'", {"target": "label", "kinds": {"label": "set"}}),
    ]
    for said, given in cases:
        with pytest.raises(UserError, match=said):
            pm.fit(table(), teacher=teacher, out=tmp_path / "run", show=Show.silent(), **given)
    with pytest.raises(UserError, match="no run"):
        pm.fit(table(), "label", teacher=tmp_path / "none", show=Show.silent())
