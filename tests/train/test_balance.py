"""Balancing within a fit: any fusion, gaps, several targets, the same again, after Ctrl-C too."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch.optim.optimizer import register_optimizer_step_pre_hook

import polymodal as pm
from polymodal.base import lookup
from polymodal.base.errors import MissingExtra, UserError
from polymodal.contract.recipe import Recipe
from polymodal.train.interrupt import Interrupted
from polymodal.train.optimizer import optimizer

pytestmark = pytest.mark.whole

QUICK = {
    "epochs": 2,
    "batch_size": 32,
    "precision": "fp32",
    "attention": "plain",
    "memory_format": "contiguous",
    "threads": 1,
}
# Over modalities, as far as a rule has a choice.
SPECS: list[Any] = [
    {"name": name, "over": "modalities"} if "over" in options else name
    for name in lookup.names("train/balance")
    if (options := lookup.options(lookup.find("train/balance", name))) is not None
]
SPECS += [{"name": "jacobian_descent", "aggregator": "MGDA"}]
# Those that work on gradients of parts, and not on one sum of losses.
DEEP = ["ogm_ge", "jacobian_descent"]
TASKS = [{**spec, "over": "tasks"} for spec in SPECS if isinstance(spec, dict)]


def table(rows: int = 120) -> pd.DataFrame:
    """The number tells the label, the note nothing; both have gaps, and so have the targets."""
    rng = np.random.default_rng(0)
    level = rng.normal(size=rows)
    frame = pd.DataFrame(
        {
            "note": [f"{rng.choice(['sea', 'wood', 'town'])} {i}" for i in range(rows)],
            "level": level,
            "label": np.where(level > 0, "up", "down"),
            "size": level + rng.normal(0, 0.1, rows),
        }
    )
    for column, of in (("note", 5), ("level", 7), ("label", 11), ("size", 13)):
        frame.loc[frame.index % of == 0, column] = None
    return frame


@pytest.fixture
def fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., pm.Run]:
    monkeypatch.setenv("POLYMODAL_CACHE", str(tmp_path / "cache"))

    def run(balance: Any, out: Path | None = None, **recipe: Any) -> pm.Run:
        described: dict[str, Any] = {
            "targets": {"label": None, "size": None},
            "modalities": {"note": {"encoder": {"name": "ngrams", "size": 50}}, "table": {}},
            "width": 8,
            **recipe,
        }
        training = {**QUICK, "balance": balance, **described.pop("training", {})}
        spelled = Recipe.model_validate({**described, "training": training})
        return pm.fit(table(), recipe=spelled, out=out)

    return run


@pytest.fixture(scope="module")
def known() -> dict[str, pm.Run]:
    return {}


@pytest.fixture
def plain(fit: Callable[..., pm.Run], known: dict[str, pm.Run]) -> Callable[..., pm.Run]:
    """A fit without balancing, made once for all who compare with the same."""

    def run(**recipe: Any) -> pm.Run:
        if repr(recipe) not in known:
            known[repr(recipe)] = fit(None, **recipe)
        return known[repr(recipe)]

    return run


@pytest.fixture
def grads() -> Iterator[list[list[torch.Tensor]]]:
    """The gradients of every optimiser step, in the order of the parameters."""
    seen: list[list[torch.Tensor]] = []

    def stepped(optimizer: Any, *_: Any) -> None:
        params = [p for group in optimizer.param_groups for p in group["params"]]
        seen.append([torch.zeros_like(p) if p.grad is None else p.grad.clone() for p in params])

    handle = register_optimizer_step_pre_hook(stepped)
    yield seen
    handle.remove()


def weights(run: pm.Run) -> dict[str, torch.Tensor]:
    return run.members["model"].module.state_dict()


def same(first: pm.Run, second: pm.Run) -> bool:
    a, b = weights(first), weights(second)
    return all(torch.equal(value, b[name]) for name, value in a.items())


def history(run: pm.Run) -> list[dict[str, float]]:
    return run.members["model"].facts["history"]


@pytest.mark.parametrize("balance", [*SPECS, *TASKS[:3]], ids=str)
def test_it_repeats_itself_and_goes_on_after_ctrl_c(
    balance: Any,
    fit: Callable[..., pm.Run],
    plain: Callable[..., pm.Run],
    tmp_path: Path,
    ctrl_c_at: Callable[[int], None],
) -> None:
    whole = fit(balance)
    assert not same(whole, plain())
    ctrl_c_at(6)  # in the middle of an epoch
    with pytest.raises(Interrupted):
        fit(balance, out=tmp_path / "run")
    resumed = fit(balance, out=tmp_path / "run")
    assert same(whole, resumed)
    assert history(whole) == history(resumed)
    assert not any("balance" in key for key in weights(whole))


@pytest.mark.parametrize("fusion", lookup.names("fusion"))
def test_every_fusion_can_be_balanced(
    fusion: str, fit: Callable[..., pm.Run], grads: list[list[torch.Tensor]]
) -> None:
    """Gradients are finite and reach whatever they reach without balancing."""
    reached = []
    for balance in (None, *DEEP):
        grads.clear()
        fit(balance, fusion=fusion, training={"epochs": 1})
        assert all(g.isfinite().all() for step in grads for g in step)
        reached.append({i for step in grads for i, g in enumerate(step) if g.any()})
    assert all(reached[0] <= found for found in reached[1:])


@pytest.mark.parametrize("balance", SPECS, ids=str)
def test_with_one_modality_there_is_nothing_to_balance(
    balance: Any, fit: Callable[..., pm.Run], plain: Callable[..., pm.Run]
) -> None:
    """A no-op, not an error: rivals are trained with the settings of the model they rival."""
    only = {"table": {}}
    balanced = fit(balance, modalities=only)
    assert same(balanced, plain(modalities=only))
    assert not any("ratio" in name for line in history(balanced) for name in line)


@pytest.mark.parametrize("balance", TASKS, ids=str)
def test_tasks_are_balanced_where_there_are_several(
    balance: Any,
    fit: Callable[..., pm.Run],
    plain: Callable[..., pm.Run],
    grads: list[list[torch.Tensor]],
) -> None:
    """Of one modality too; with one task there is nothing to balance."""
    only = {"table": {}}
    run = fit(balance, modalities=only)
    assert all(g.isfinite().all() for step in grads for g in step)
    assert not same(run, plain(modalities=only))
    names = {key for line in history(run) for key in line if "weight/" in key or "conflict/" in key}
    told = {name.rpartition("/")[2] for name in names}
    assert told == (set() if balance["name"] == "fixed" else {"label", "size"})
    one = {"targets": {"label": None}, "modalities": only}
    assert same(fit(balance, **one), plain(**one))


def test_the_gradient_of_the_encoder_ahead_shrinks_by_exactly_the_factor(
    fit: Callable[..., pm.Run], grads: list[list[torch.Tensor]]
) -> None:
    """The table tells the label. One step of plain and of modulated training, unclipped."""
    once = {"epochs": 1, "batch_size": 200, "dropout": 0.0, "modality_dropout": 0.0, "clip": 1e9}
    plain = fit(None, training=once)
    start = {"name": "ogm_ge", "alpha": 0.4, "noise": False}
    ratios = history(fit(start, training=once))[0]
    before, after = grads
    module = plain.members["model"].module
    ahead = max(module.names, key=lambda name: ratios[f"train/ratio/{name}"])
    ratio = ratios[f"train/ratio/{ahead}"]
    assert ratio > 1
    sizes = {
        id(p): 1 - math.tanh(0.4 * ratio)
        for p in module.encoders[module.names.index(ahead)].parameters()
    }
    # The optimiser's order: by rate and decay, as the model lists them.
    ordered = [
        p
        for group in optimizer(module, plain.members["model"].spec.training).param_groups
        for p in group["params"]
    ]
    assert len(ordered) == len(before)
    for p, one, other in zip(ordered, before, after, strict=True):
        torch.testing.assert_close(other, one * sizes.get(id(p), 1.0))


def test_what_training_noticed_is_in_the_run(fit: Callable[..., pm.Run], tmp_path: Path) -> None:
    fit("jacobian_descent", out=tmp_path / "run", training={"epochs": 8})
    last = history(pm.load(tmp_path / "run"))[-1]
    assert last["train/ratio/table"] > 1 > last["train/ratio/note"]
    assert all(-1 <= last[f"train/conflict/{name}"] <= 1 for name in ("note", "table"))


def test_a_balance_that_cannot_work_fails_before_anything_is_read(
    fit: Callable[..., pm.Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match="did you mean 'ogm_ge'"):
        fit("ogm_gee")
    with pytest.raises(UserError, match="has no option 'beta'"):
        fit({"name": "ogm_ge", "beta": 1.0})
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name == "torchjd" else find(name, *a)
    )
    monkeypatch.setattr("polymodal.fitting.fit.Job", None)
    with pytest.raises(MissingExtra, match=r"polymodal\[torchjd\]"):
        fit("jacobian_descent")
