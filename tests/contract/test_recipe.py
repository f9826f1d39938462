"""Recipes are read strictly, and their errors say what to do."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import polymodal as pm
from polymodal.base.errors import UserError
from polymodal.contract import recipe, resolve
from polymodal.contract.recipe import Recipe
from polymodal.contract.resolve import overruled, share
from polymodal.fitting import fit as fitting
from polymodal.report.console import Show


def write(folder: Path, text: str) -> Path:
    path = folder / "recipe.yaml"
    path.write_text(text)
    return path


def test_target_is_short_for_targets_and_paths_start_at_the_recipe(tmp_path: Path) -> None:
    loaded = resolve.load(write(tmp_path, "train: a.csv\ntarget: [x, y]\nfusion: f.py:Mine\n"))
    assert loaded.targets == {"x": None, "y": None}
    assert loaded.train == str(tmp_path / "a.csv")
    assert loaded.models is not None and loaded.fusion is None
    assert loaded.models[0].fusion == str(tmp_path / "f.py:Mine")


def test_a_saved_recipe_loads_to_the_same(tmp_path: Path) -> None:
    first = recipe.Recipe(targets={"y": {"name": "classify", "smoothing": 0.1}}, width=32, seed=3)
    first.save(tmp_path / "r.yaml")
    assert resolve.load(tmp_path / "r.yaml") == first


def test_nothing_pretrained_forbids_none_of_what_a_parent_has(tmp_path: Path) -> None:
    expert = {"name": "a", "learner": "linear", "modalities": {"t": {"pretrained": "encoder-0-1"}}}
    with pytest.raises(ValueError, match="forbids the pretrained model that 'a' reads 't' with"):
        Recipe.model_validate({"models": [expert], "pretrained": "none"})
    made = Recipe.model_validate({"models": [expert], "pretrained": "none", "parent": "/runs/one"})
    made.save(tmp_path / "r.yaml")
    assert resolve.load(tmp_path / "r.yaml").models == made.models


def test_numbers_need_no_point_before_an_exponent_and_texts_stay_texts(tmp_path: Path) -> None:
    tuning = "tuning: {name: mixed, rates: {a: 2e-4, b: 1E3, c: .5e1}}"
    data = "data: {missing: {x: ['1e5', 7e, e5]}}"
    loaded = resolve.load(write(tmp_path, f"{tuning}\n{data}"))
    assert loaded.models is not None
    rates = {"a": 0.0002, "b": 1000.0, "c": 5.0}
    assert loaded.models[0].tuning == {"name": "mixed", "rates": rates}
    assert loaded.data.missing == {"x": ["1e5", "7e", "e5"]}
    loaded.save(tmp_path / "r.yaml")
    assert resolve.load(tmp_path / "r.yaml") == loaded


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("trian: a.csv", "'train'"),
        ("members: [{name: a}]", "did you mean 'models'?"),
        ("training: {learning_rate: 1}", "no key 'training.learning_rate'"),
        ("training: {lr: fast}", "training.lr"),
        ("teacher: [x]", "expected: a run's folder, or a mapping with 'run'"),
        ("parent: 3", "expected: a run's folder, or a mapping with 'run'"),
        ("modalities: {image: {encodr: cnn}}", "'encoder'"),
        ("modalities: {image: {encoder: cnn, pretrained: x}}", "not both"),
        ("modalities: {image: {tune: true}}", "pretrained"),
        (
            "modalities: {image: {pretrained: x, tune: true}}\ntuning: lora",
            "short for tuning: {name: encoder, names: [image]}",
        ),
        (
            "models: [{name: a, learner: linear, modalities: {t: {}}, tuning: full}]",
            "no tuning in the model 'a'",
        ),
        ("data: {split: half}", "data.split"),
        ("data: {split: random, time: when}", "'time' goes with 'split: time'"),
        ("data: {folds: 3, valid: 0.2}", "not both"),
        (
            "models: [{name: a, learner: linear, modalities: {t: {encoder: cnn}}, fusion: sum}]",
            "no fusion and no modalities.t.encoder in the model 'a'",
        ),
        (
            "models: [{name: a, learner: trees, modalities: {}, training: {epochs: 3}}]",
            "its learner 'trees' has none",
        ),
        ("rivals: true", "'rivals' goes with 'models'"),
        ("compare: true", "'compare' goes with 'models'"),
        ("- a\n- b", "not a mapping"),
        ("a: [", "cannot be read"),
        ("fusion: sum\nmodels: [{name: a, modalities: {}}]", "not both"),
        ("fusion: [sum, gated, {name: sum}]", "listed twice"),
        ("fusion: [sum, 3]", "a component's name"),
        ("fusion: []", "takes at least one"),
        ("models: [{name: a, modalities: {}}, {name: a, modalities: {}}]", "same name"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(UserError) as caught:
        resolve.load(write(tmp_path, text))
    assert says in str(caught.value)


@pytest.mark.parametrize(
    "data", [{"folds": 3}, {"valid": 0.2}, {"split": "random"}, {"time": "when"}]
)
def test_rows_that_are_divided_are_not_divided_again(data: dict[str, object]) -> None:
    asked = recipe.Recipe.model_validate({"targets": {"y": None}, "valid": "v.csv", "data": data})
    with pytest.raises(UserError, match=next(iter(data))):
        fitting.fit("t.csv", recipe=asked)


def test_functions_take_a_recipes_file_too(tmp_path: Path) -> None:
    path = write(tmp_path, "train: t.csv\nvalid: v.csv\ntarget: y\ndata: {folds: 3}")
    for given in (path, str(path)):
        with pytest.raises(UserError, match="folds cannot divide"):
            pm.fit(recipe=given)
    for function in (pm.fit, pm.pretrain):
        with pytest.raises(UserError, match="a Recipe, or the path of a YAML file"):
            function(recipe={"train": "t.csv"})
    with pytest.raises(UserError, match="'none\\.yaml' cannot be read"):
        pm.check({"x": [1, 2], "y": [0, 1]}, "y", recipe="none.yaml", show=Show.silent())


def test_the_reference_has_every_default_of_training() -> None:
    page = (Path(__file__).parents[2] / "docs" / "recipe.md").read_text(encoding="utf-8")
    rows = page.partition("| key of `training` |")[2].partition("\n\n")[0]
    shown = dict(re.findall(r"^\| `(\w+)` \| `?([^|`]+?)`? \|", rows, re.MULTILINE))
    fields = recipe.Training.model_fields
    defaults = {name: str(field.default) for name, field in fields.items()}
    # How many epochs None means, `learn` says.
    assert shown == defaults | {"epochs": "20", "balance": "none"}


@pytest.mark.parametrize(
    ("valid", "part"),
    [
        ("0.2", 0.2), (".25", 0.25), ("20%", 0.2), ("12.5 %", 0.125), (0.3, 0.3), (2, 2.0),
        ("valid.csv", None), ("0.2.csv", None), (None, None), ({"x": [1]}, None), ("", None),
    ],
)  # fmt: skip
def test_a_share_for_validation_is_no_table(valid: Any, part: float | None) -> None:
    assert share(valid) == part
    if part is not None and part < 1:
        assert overruled(Recipe(), valid=part).data.valid == part


def test_a_table_may_be_called_like_a_share(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("0.2").mkdir()
    assert share("0.2") is None


@pytest.mark.parametrize("part", [0.0, 1.0, 20.0])
def test_a_share_that_is_none_is_refused(part: float) -> None:
    with pytest.raises(UserError, match=r"'data\.valid' is not valid"):
        overruled(Recipe(), valid=part)
