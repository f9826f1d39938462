"""All sets of modalities from one pass: what runs how often, and that it changes no score."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pandas as pd
import pytest
from torch import nn

import polymodal as pm
from polymodal.data.ledger import Ledger
from polymodal.evaluate.contribution import subsets
from polymodal.recipe import Recipe

ROWS, BATCH = 300, 256
MEMBERS = {
    "gated": {"fusion": "gated", "width": 8, "training": {"epochs": 1}},
    "early": {"fusion": {"name": "early", "depth": 1}, "width": 8, "training": {"epochs": 1}},
    "linear": {"learner": "linear"},
    "trees": {"learner": "trees"},
}


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    """Four modalities, each of which tells a little."""
    rng = np.random.default_rng(0)
    up = rng.integers(0, 2, ROWS)
    return pd.DataFrame(
        {
            "picture": [(rng.integers(0, 200, (8, 8, 3)) + 40 * u).astype(np.uint8) for u in up],
            "signal": [list(u * np.arange(5) + rng.normal(0, 3, 5)) for u in up],
            "note": [f"note {rng.integers(9)} {'rises' if u else 'falls'} here" for u in up],
            "x": up + rng.normal(size=ROWS),
            "label": np.where(up, "up", "down"),
        }
    )


@pytest.fixture(scope="module", params=MEMBERS)
def run(
    request: pytest.FixtureRequest, frame: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory
) -> pm.Run:
    every: dict[str, Any] = {name: {} for name in ("picture", "signal", "note", "table")}
    member = {"name": "model", "modalities": every, **MEMBERS[request.param]}
    settings = {"members": [member], "data": {"kinds": {"note": "text"}}}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("POLYMODAL_CACHE", str(tmp_path_factory.mktemp("cache")))
        return pm.fit(frame, "label", recipe=Recipe.model_validate(settings))


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLYMODAL_CACHE", str(tmp_path_factory.mktemp("cache")))


def readers(module: nn.Module) -> dict[str, nn.Module]:
    """What turns a modality's cells into tokens: a network's encoders, an expert's blocks."""
    lists = [n for n, _ in module.named_modules() if n.split(".")[-1] in ("encoders", "blocks")]
    found = {
        f"{name}.{i}": part
        for name in lists
        if "fusion" not in name
        for i, part in enumerate(module.get_submodule(name).children())
    }
    assert found
    return found


def test_every_encoder_runs_once_a_batch(run: pm.Run, frame: pd.DataFrame) -> None:
    calls: Counter[str] = Counter()
    module = run.members["model"].module
    hooks = [
        part.register_forward_hook(lambda *_, name=name: calls.update([name]))
        for name, part in readers(module).items()
    ]
    names = list(run.schema.modalities())
    assert len(names) == 4
    sets = subsets(names)
    prepared = run.prepare(run.table(frame), Ledger())
    run.scores_without(prepared, np.arange(ROWS), sets)
    for hook in hooks:
        hook.remove()
    assert dict(calls) == dict.fromkeys(readers(module), -(-ROWS // BATCH))


def test_together_is_what_each_is_alone(run: pm.Run, frame: pd.DataFrame) -> None:
    """Alone means by cells that are missing in the table, not by a mask over tokens."""
    rows = np.arange(ROWS)
    sets = subsets(list(run.schema.modalities()))
    prepared = run.prepare(run.table(frame), Ledger())
    together = run.scores_without(prepared, rows, sets)
    columns = {"table": "x"}
    for gone, found in list(zip(sets, together, strict=True))[:-1]:
        without = frame.astype(object)
        without[[columns.get(name, name) for name in gone]] = None
        alone = run.scores(run.prepare(run.table(without), Ledger()), rows)
        np.testing.assert_allclose(
            found["model"]["label"], alone["model"]["label"], atol=1e-5, err_msg=str(gone)
        )
