"""A new task is one file: toys under `toys/tasks`, named in a recipe, and nothing else touched.

A supervised one with a head of its own, a self-supervised one, a generated word.
"""

from __future__ import annotations

import csv
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from typer.testing import CliRunner

import polymodal as pm
from polymodal.base import lookup
from polymodal.base.errors import UserError
from polymodal.contract.batch import Batch, Field, Fused
from polymodal.contract.recipe import Recipe
from polymodal.contract.task import Pass
from polymodal.prepared.targets import prepared

pytestmark = pytest.mark.whole

TOYS = Path(__file__).parent / "toys" / "tasks"
ORDINAL, HIDDEN, WORD = (
    f"{TOYS / file}" for file in ("ordinal.py:Ordinal", "hidden_cell.py:HiddenCell", "word.py:Word")
)
# Target name -> its task, and cells of six rows.
CASES: dict[str, tuple[Any, list[Any]]] = {
    "rating": (ORDINAL, [1, 2, None, 3, 2, 1]),
    "hidden": ({"name": HIDDEN, "column": "size"}, [1.5, 2.0, None, -1.0, 0.5, 3.0]),
    "said": (WORD, ["warm", "cold", None, "warm", "mild", "cold"]),
}
every_toy = pytest.mark.parametrize("name", list(CASES))
TRAINING = {
    "epochs": 30,
    "batch_size": 32,
    "lr": 0.01,
    "precision": "fp32",
    "attention": "plain",
    "memory_format": "contiguous",
    "threads": 1,
}


def columns(rows: int, seed: int = 0) -> dict[str, list[Any]]:
    """Size is twice the price; the note and the price say the rest."""
    rng = random.Random(seed)
    price = [round(rng.uniform(-1, 1), 3) for _ in range(rows)]
    return {
        "price": price,
        "size": [round(2 * p + rng.gauss(0, 0.02), 3) for p in price],
        "rating": [None if i % 9 == 0 else 1 + (p > -0.3) + (p > 0.3) for i, p in enumerate(price)],
        "said": ["cold" if p < 0 else "warm" for p in price],
    }


def recipe(name: str, **more: Any) -> Recipe:
    dropped = [target for target in ("rating", "said") if target != name]
    described = {"targets": {name: CASES[name][0]}, "data": {"drop": dropped}}
    return Recipe.model_validate({**described, "fusion": "sum", "training": TRAINING, **more})


def built(name: str) -> tuple[Any, list[Any]]:
    spec, cells = CASES[name]
    task = lookup.build("tasks", spec, name)
    task.fit(cells)
    return task, cells


@every_toy
def test_its_loss_counts_known_targets_and_its_answers_can_be_measured(name: str) -> None:
    task, cells = built(name)
    target = prepared(task, cells).gather(np.arange(6))
    assert target.present.tolist() == [cell is not None for cell in cells]
    head = task.heads(8, [], 0.0, {})
    fused = Fused(torch.randn(6, 8), {})

    def loss(target: Field) -> torch.Tensor:
        decided = head(fused, target)
        found: torch.Tensor = task.loss(Pass({}, fused, decided.output, {}, target))
        return found

    loss(target).backward()
    assert all(p.grad is not None for p in head.parameters())
    nothing = Field(target.data, target.mask, torch.zeros(6, dtype=torch.bool))
    assert loss(nothing).item() == 0
    other = Field(target.data.clone(), target.mask, target.present)
    other.data[2] = target.data[1]
    torch.testing.assert_close(loss(other), loss(target))

    again = lookup.build("tasks", CASES[name][0], name)
    again.state = json.loads(json.dumps(task.state))
    with torch.no_grad():
        rows = again.answer(Pass({}, fused, head(fused).output))
    known = [i for i in range(6) if i != 2]
    mine, targets = [rows[i] for i in known], again.encode([cells[i] for i in known])
    metric = again.metrics(mine, targets)[again.primary]
    assert np.isfinite(metric.statistic(np.ones((1, 5)))).all()
    assert np.isfinite(again.criterion(mine, targets))
    assert len(again.decode(rows)[name]) == 6
    assert again.encode([again.truth(targets[0])])[0] == pytest.approx(targets[0], abs=1e-6)
    merged = again.merge({"a": rows, "b": again.constant(rows)}, {"a": 0.75, "b": 0.25})
    assert [np.shape(a) for a in merged] == [np.shape(a) for a in rows]


@every_toy
def test_it_is_fitted_measured_and_predicts(name: str, tmp_path: Path) -> None:
    run = pm.fit(columns(240), recipe=recipe(name), out=tmp_path / "run")
    loaded = pm.load(tmp_path / "run", trust=True)
    test = columns(60, seed=1)
    found = pm.evaluate(loaded, test, explain=2)
    value = found.targets[name][run.tasks[name].primary]["value"]
    constant = next(line for line in run.leaderboard if line["role"] == "constant")["value"]
    better = 0.9 if name == "said" else 0.4 * constant
    assert value > better if name == "said" else value < better, (value, constant)
    assert found.explanations[name]["rows"]
    inputs = {key: test[key] for key in ("price", "size")}
    given = loaded.predict(inputs)[name]
    if name == "said":
        assert set(given) <= {"cold", "warm"}
    one = loaded.predict_row({"price": test["price"][0], "size": test["size"][0]})[name]
    assert one == (pytest.approx(given[0], rel=1e-4) if name == "hidden" else given[0])


def test_what_is_hidden_is_not_seen(tmp_path: Path) -> None:
    """The answer does not depend on the hidden number, and needs no column called as the task."""
    run = pm.fit(columns(120), recipe=recipe("hidden"), out=tmp_path / "run")
    assert [c.name for c in run.schema.targets] == []
    assert "size" in [c.name for c in run.schema.inputs]
    known = run.predict_row({"price": 0.5, "size": 1.0})["hidden"]
    assert known == run.predict_row({"price": 0.5, "size": -7.0})["hidden"]
    assert known != run.predict_row({"price": -0.5, "size": 1.0})["hidden"]


def test_from_the_command_line(tmp_path: Path) -> None:
    from polymodal.cli.main import app

    for table, rows, seed in (("train", 120, 0), ("new", 10, 1)):
        data = columns(rows, seed)
        with (tmp_path / f"{table}.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["price", "size"])
            writer.writerows(zip(data["price"], data["size"], strict=True))
    described = recipe("hidden").model_dump(exclude_none=True)
    described |= {"data": {"drop": []}, "train": "train.csv"}
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(described))
    paths = {name: str(tmp_path / name) for name in ("new.csv", "recipe.yaml", "run")}
    runner = CliRunner()
    fit = ["fit", paths["recipe.yaml"], "--out", paths["run"]]
    predict = ["predict", paths["run"], "--data", paths["new.csv"], "--trust"]
    measure = ["evaluate", paths["run"], "--data", paths["new.csv"], "--trust"]
    measure += ["--out", str(tmp_path / "measured")]
    for command in (fit, measure, [*predict, "--out", str(tmp_path / "out.csv")]):
        result = runner.invoke(app, command)
        assert result.exit_code == 0, (command, result.output, result.exception)
    with (tmp_path / "out.csv").open() as file:
        assert len([row["hidden"] for row in csv.DictReader(file)]) == 10


def test_a_solver_refuses_what_it_cannot_learn(tmp_path: Path) -> None:
    models = [{"name": "one", "learner": "linear"}]
    given = Recipe.model_validate(
        {"targets": {"said": WORD}, "data": {"drop": ["rating"]}, "models": models}
    )
    with pytest.raises(pm.PolymodalError, match="'linear' cannot answer target 'said'"):
        pm.fit(columns(60), recipe=given, out=tmp_path / "run")


def test_spoiling_leaves_the_given_batch_as_it_is() -> None:
    task, _ = built("hidden")
    form = lookup.build(
        "modalities/table/forms", {"name": "cells", "columns": [{"name": "size", "kind": "number"}]}
    )
    form.fit([{"size": 1.0}, {"size": 2.0}])
    field = Field(torch.ones(3, 1), None, torch.ones(3, dtype=torch.bool))
    batch = Batch({"table": field}, {}, torch.arange(3))
    hidden = task.spoil(batch, {"table": form}, torch.Generator())
    assert hidden.inputs["table"].data.isnan().all() and (field.data == 1).all()


def test_predictions_from_anywhere_are_measured_as_the_task_says() -> None:
    table = {"prediction": [1, 2, 3, 3], "reference": [1, 3, 1, None]}
    found = pm.score(table, ORDINAL).predictions["prediction"]["mean_distance"]["value"]
    assert found == pytest.approx(1.0)
    with pytest.raises(UserError, match="There is no metric"):
        pm.score(table, WORD)
