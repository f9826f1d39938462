"""Tuning within a fit: saved, read back, resumed; rivals; what cannot be."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import polymodal as pm
from polymodal.base.errors import UserError
from polymodal.contract.recipe import Member, Modality, Recipe
from polymodal.train.interrupt import Interrupted

pytestmark = pytest.mark.whole

ROWS = 60
QUICK = {
    "epochs": 2,
    "batch_size": 16,
    "precision": "fp32",
    "attention": "plain",
    "memory_format": "contiguous",
    "threads": 1,
}


@pytest.fixture
def fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bert_path: str) -> Callable[..., pm.Run]:
    monkeypatch.setenv("POLYMODAL_CACHE", str(tmp_path / "cache"))
    rng = np.random.default_rng(0)
    note = rng.choice(["the quick fox", "a lazy dog"], ROWS)
    frame = pd.DataFrame(
        {
            "note": [f"{text} {i}" for i, text in enumerate(note)],
            "level": rng.normal(size=ROWS),
            "label": np.where(note == "a lazy dog", "yes", "no"),
        }
    )

    def run(out: Path | None = None, rivals: bool = False, **model: Any) -> pm.Run:
        modalities = {"note": {"pretrained": bert_path}, "table": {}}
        described = {"name": "model", "modalities": modalities, "width": 8, "training": QUICK}
        recipe = {"targets": {"label": None}, "models": [{**described, **model}]}
        return pm.fit(frame, recipe=Recipe.model_validate({**recipe, "rivals": rivals}), out=out)

    run.frame = frame  # type: ignore[attr-defined]
    return run


def state(run: pm.Run) -> dict[str, torch.Tensor]:
    return run.members["model"].module.state_dict()


@pytest.mark.parametrize("tuning", ["lora", {"name": "prompt", "length": 2}, "prefix", "head"])
def test_a_run_is_read_back_without_peft_and_answers_the_same(
    tuning: Any, fit: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = fit(tmp_path / "run", tuning=tuning)
    assert not any("lora" in name for name in state(run))
    told = run.members["model"].facts["learned"]
    assert told["trainable"] > 0 and told["frozen"] > 0 and told["still"]
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name == "peft" else find(name, *a)
    )
    again = pm.load(tmp_path / "run")
    pd.testing.assert_frame_equal(again.predict(fit.frame), run.predict(fit.frame))


@pytest.mark.parametrize("tuning", ["lora", "prefix"])
def test_it_goes_on_after_ctrl_c_as_if_nothing_had_been(
    tuning: Any, fit: Any, tmp_path: Path, ctrl_c_at: Callable[[int], None]
) -> None:
    whole = state(fit(tuning=tuning))
    ctrl_c_at(3)
    with pytest.raises(Interrupted):
        fit(tmp_path / "run", tuning=tuning)
    resumed = state(fit(tmp_path / "run", tuning=tuning))
    assert all(torch.equal(value, resumed[name]) for name, value in whole.items())


def test_a_rival_with_nothing_pretrained_has_nothing_to_tune(fit: Any) -> None:
    run = fit(rivals=True, tuning="full")
    chosen = {model.name: model.tuning for model in run.recipe.models}
    assert chosen == {"model": "full", "note": "full", "table": None}


def test_what_cannot_be_tuned_is_one_clear_error(fit: Any) -> None:
    with pytest.raises(UserError, match=r"tuning names 'notes'[^?]*did you mean 'note'"):
        fit(tuning={"name": "encoder", "names": ["notes"]})
    with pytest.raises(UserError, match="did you mean 'lora'"):
        fit(tuning="lore")
    with pytest.raises(UserError, match="no option 'rnk'"):
        fit(tuning={"name": "lora", "rnk": 2})
    with pytest.raises(UserError, match="has nothing to tune"):
        fit(tuning="lora", modalities={"note": {}, "table": {}})


def test_tune_of_a_modality_is_short_for_tuning() -> None:
    shared = {"note": Modality(pretrained="x", tune=True), "photo": Modality(pretrained="y")}
    for member in (Member(name="a", modalities=shared), Member(name="b", modalities=shared)):
        assert member.tuning == {"name": "encoder", "names": ["note"]}
        assert not any(modality.tune for modality in member.modalities.values())
    written = Member.model_validate(member.model_dump())
    assert written == member
