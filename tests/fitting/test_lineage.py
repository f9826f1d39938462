"""What goes over from a parent that was tuned, prompted, interrupted, or whose columns have other
names."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from typer.testing import CliRunner

import polymodal as pm
from polymodal.contract.recipe import Recipe
from polymodal.fitting import parent as lineage
from polymodal.report.console import Show
from polymodal.train.interrupt import Interrupted

pytestmark = pytest.mark.whole

ROWS = 48
TRAINING = {
    "epochs": 1,
    "batch_size": 16,
    "lr": 0.01,
    "pretrained_lr": 0.01,
    "precision": "fp32",
    "attention": "plain",
    "memory_format": "contiguous",
    "threads": 1,
}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLYMODAL_CACHE", str(tmp_path / "cache"))


def table(seed: int = 0, note: str = "note") -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    kinds = rng.integers(0, 2, ROWS)
    return pd.DataFrame(
        {
            note: [f"{'the quick fox' if k else 'a lazy dog'} {i}" for i, k in enumerate(kinds)],
            "level": rng.normal(size=ROWS) + kinds,
            "label": np.where(kinds == 1, "yes", "no"),
        }
    )


def fit(frame: pd.DataFrame, out: Path, parent: Any = None, **model: Any) -> pm.Run:
    network = {"name": "net", "fusion": "sum", "width": 8, "training": TRAINING, **model}
    recipe = Recipe.model_validate({"targets": {"label": None}, "models": [network]})
    return pm.fit(frame, recipe=recipe, parent=parent, out=out, show=Show.silent())


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, torch.Tensor]]:
    """The weights of encoders that start from a parent, as they do."""
    found: list[dict[str, torch.Tensor]] = []
    start = lineage.Origin.start

    def started(self: Any, module: Any) -> dict[str, str]:
        why = start(self, module)
        found.append({k: v.clone() for k, v in module.encoders[0].state_dict().items()})
        return why

    monkeypatch.setattr(lineage.Origin, "start", started)
    return found


def encoder(run: pm.Run) -> dict[str, torch.Tensor]:
    return run.members["net"].module.encoders[0].state_dict()


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(v, other[k]) for k, v in one.items())


def test_a_fit_starts_from_a_backbone_that_was_tuned(
    bert_path: str, tmp_path: Path, begun: list[dict[str, torch.Tensor]]
) -> None:
    own = tmp_path / "bert"
    shutil.copytree(bert_path, own)
    note = {"note": {"pretrained": str(own)}, "table": {}}
    parent = fit(table(), tmp_path / "parent", modalities=note, tuning="full")
    # The run is all that is needed: what it was tuned from may be gone.
    shutil.rmtree(own)
    child = fit(table(1), tmp_path / "child", tmp_path / "parent")
    told = child.origin["parent"]
    assert told["started"] == {"note": "note", "table": "table"} and told["left"] == {}
    assert begun and all(equal(one, encoder(parent)) for one in begun)
    # It is trained on, as it was in the parent.
    moved = [k for k, v in encoder(child).items() if not torch.equal(v, begun[0][k])]
    assert any("backbone" in name for name in moved)
    again = pm.load(tmp_path / "child")
    pd.testing.assert_frame_equal(again.predict(table(2)), child.predict(table(2)))


@pytest.mark.parametrize(
    "tuning", [{"name": "prompt", "length": 2}, {"name": "prefix", "length": 2}]
)
def test_prompts_and_prefixes_start_from_a_parents(
    tuning: dict[str, Any], bert_path: str, tmp_path: Path, begun: list[dict[str, torch.Tensor]]
) -> None:
    note = {"note": {"pretrained": bert_path}, "table": {}}
    parent = fit(table(), tmp_path / "parent", modalities=note, tuning=tuning)
    child = fit(table(1), tmp_path / "child", tmp_path / "parent", tuning=tuning)
    assert child.origin["parent"]["started"] == {"note": "note", "table": "table"}
    assert all(equal(one, encoder(parent)) for one in begun)
    still = {k: v for k, v in encoder(child).items() if ".model.model." in k}
    assert still and all(torch.equal(v, begun[0][k]) for k, v in still.items())
    # Another mode has no such vectors: nothing of the encoder is taken over, and that is said.
    other = fit(table(1), tmp_path / "other", tmp_path / "parent", tuning="full")
    assert other.origin["parent"]["started"] == {"table": "table"}
    assert "are not the parent's" in other.origin["parent"]["left"]["note"]


@pytest.mark.parametrize("name", ["prompt", "prefix"])
def test_prompts_and_prefixes_are_learned_before_a_tuned_parent(
    name: str, bert_path: str, tmp_path: Path
) -> None:
    note = {"note": {"pretrained": bert_path}, "table": {}}
    parent = fit(table(), tmp_path / "parent", modalities=note, tuning="full")
    tuning = {"name": name, "length": 2}
    child = fit(table(1), tmp_path / "child", tmp_path / "parent", tuning=tuning)
    assert child.origin["parent"]["started"] == {"note": "note", "table": "table"}
    own = {k.replace(".model.model.", ".model."): v for k, v in encoder(child).items()}
    # All that the parent learned is as it was; what is new are vectors, and the model around it.
    assert all(torch.equal(v, own[k]) for k, v in encoder(parent).items())
    new = own.keys() - encoder(parent).keys()
    assert new and sum(own[k].numel() for k in new) == {"prompt": 2 * 16, "prefix": 8 * 16}[name]
    again = pm.load(tmp_path / "child")
    pd.testing.assert_frame_equal(again.predict(table(2)), child.predict(table(2)))


def test_pretraining_that_goes_on_gives_the_run_that_it_would_have_given(
    tmp_path: Path, ctrl_c_at: Callable[[int], None]
) -> None:
    network = {
        "name": "net",
        "fusion": "sum",
        "width": 8,
        "modalities": {"note": {"encoder": "ngrams"}, "table": {}},
        "training": {**TRAINING, "epochs": 4},
    }
    recipe = Recipe.model_validate({"models": [network]})

    def pretrained(out: str) -> pm.Run:
        data = table().drop(columns="label")
        return pm.pretrain(
            data, task="contrastive", recipe=recipe, out=tmp_path / out, show=Show.silent()
        )

    whole = pretrained("whole").members["net"]
    ctrl_c_at(5)
    with pytest.raises(Interrupted):
        pretrained("run")
    found = pretrained("run").members["net"]
    assert equal(whole.module.state_dict(), found.module.state_dict())
    assert whole.facts["steps"] == found.facts["steps"] == 12


def test_match_says_which_column_is_which(tmp_path: Path) -> None:
    from polymodal.cli.main import app

    words = {"encoder": {"name": "ngrams", "size": 50}}
    parent = fit(table(), tmp_path / "parent", modalities={"note": words, "table": {}})
    table(1, note="text").to_csv(tmp_path / "new.csv", index=False)
    network = {
        "name": "net",
        "fusion": "sum",
        "width": 8,
        "training": TRAINING,
        "modalities": {"text": {}, "table": {}},
    }
    described = {"train": "new.csv", "target": "label", "models": [network]}
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(described, sort_keys=False))
    started = {}
    for out, match in (("named", []), ("matched", ["--match", "text=note"])):
        command = ["fit", str(tmp_path / "recipe.yaml"), "--out", str(tmp_path / out)]
        command += ["--from", str(tmp_path / "parent"), *match]
        done = CliRunner().invoke(app, command)
        assert done.exit_code == 0, done.output
        said = json.loads((tmp_path / out / "run.json").read_text())["origin"]["parent"]
        started[out] = said["started"]
    assert started == {
        "named": {"table": "table"},
        "matched": {"text": "note", "table": "table"},
    }
    run = pm.load(tmp_path / "matched")
    assert run.recipe.parent is not None and run.recipe.parent.columns == {"text": "note"}
    # Its cells are those of the parent's form.
    forms = [one.state for one in parent.forms]
    assert [one.state for one in run.forms] == forms
