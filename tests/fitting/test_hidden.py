"""Tasks that hide parts, several at once: fitted, saved, measured, predicted."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import polymodal as pm
from polymodal.base.errors import UserError
from polymodal.contract.recipe import Recipe
from polymodal.fitting.pretrain import chosen, network

pytestmark = pytest.mark.whole

TASKS: dict[str, Any] = {
    "words": {"name": "masked_text", "modality": "note", "buckets": 64},
    "cells": {"name": "masked_cells", "modality": "table"},
    "halves": {"name": "next_sentence", "modality": "note"},
    "parts": {"name": "masked_patches", "modality": "walk"},
    "turns": {"name": "temporal_order", "modality": "walk", "parts": 2},
    "sorts": {"name": "clusters", "modality": "walk", "clusters": 4, "frames": 2, "span": 2},
}
TRAINING = {
    "epochs": 2,
    "batch_size": 16,
    "precision": "fp32",
    "attention": "plain",
    "memory_format": "contiguous",
    "threads": 1,
}


def table(rows: int, seed: int = 0) -> dict[str, list[Any]]:
    rng = random.Random(seed)
    noise = np.random.default_rng(seed)
    ups = [rng.random() < 0.5 for _ in range(rows)]
    return {
        "note": [f"{'up' if up else 'down'} it goes, {rng.randrange(99)} steps" for up in ups],
        "level": [up + rng.gauss(0, 0.1) for up in ups],
        "side": ["left" if up else "right" for up in ups],
        "walk": [
            [[float(x)] for x in (1 if up else -1) * np.arange(40) + noise.normal(size=40)]
            for up in ups
        ],
    }


def recipe(**training: Any) -> Recipe:
    network = {
        "name": "net",
        "fusion": "cross_attention",
        "width": 16,
        "training": {**TRAINING, **training},
    }
    return Recipe.model_validate({"targets": TASKS, "models": [network]})


def test_several_at_once(tmp_path: Path) -> None:
    given = recipe(balance={"name": "fixed", "weights": {"words": 0.5, "sorts": 0.0}})
    run = pm.fit(table(80), recipe=given, out=tmp_path / "run")
    assert set(run.tasks) == set(TASKS)
    again = pm.load(tmp_path / "run")
    test = table(30, seed=1)
    predicted = again.predict(test)
    assert set(TASKS) <= set(predicted)
    # A row's answer does not depend on the rows beside it.
    part = again.predict({name: cells[7:9] for name, cells in test.items()})
    for name in TASKS:
        for alone, beside in zip(part[name], predicted[name][7:9], strict=True):
            close = isinstance(alone, float) and alone == pytest.approx(beside, rel=1e-4)
            assert close or alone == beside, name
    found = pm.evaluate(again, test, explain=1).targets
    for name, primary in {"words": "accuracy", "cells": "found", "parts": "r2"}.items():
        one = found[name][primary]
        assert one["low"] <= one["value"] <= one["high"]
    assert found["turns"]["chance"]["value"] == 0.5 == found["halves"]["chance"]["value"]


def test_what_is_learned_by_default() -> None:
    two = chosen({"note": "text", "photo": "image"}, [])
    assert [spec["name"] for spec in two.values() if isinstance(spec, dict)] == ["contrastive"]
    one = chosen({"note": "text"}, [])
    assert one == {"masked_text": {"name": "masked_text", "modality": "note"}}
    assert set(chosen({"a": "image", "b": "image"}, ["masked_patches"])) == {
        "masked_patches_a",
        "masked_patches_b",
    }


def test_modalities_are_hidden_only_where_something_is_to_be_told_without_them() -> None:
    known = {"note": "text", "photo": "image"}
    for task, hidden in (("contrastive", False), ("masked_text", True)):
        training = network(chosen(known, [task]), known, 1000, None).training
        assert training is not None and (training.modality_dropout > 0) == hidden


def test_mistakes_are_told(tmp_path: Path) -> None:
    described = recipe().model_dump(exclude_none=True)
    described["models"][0]["modalities"] = {"note": {"encoder": "ngrams"}, "table": {}}
    described["targets"] = {"words": TASKS["words"]}
    with pytest.raises(UserError, match="does not suit what is to be learned"):
        pm.fit(table(40), recipe=Recipe.model_validate(described), out=tmp_path / "run")
