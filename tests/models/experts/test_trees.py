"""Boosting on tasks whose answer is known, and its trees in a module."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import lightgbm
import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn import functional as F

from polymodal.base.errors import UserError
from polymodal.models.experts import _boosting as boosting
from polymodal.models.experts._boosting import boost, derivatives
from polymodal.models.experts._forest import Forest
from polymodal.models.experts._problem import deal
from polymodal.models.experts.trees import Trees
from polymodal.nn.weights import fill
from polymodal.tasks.tag import Tag


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Enough rounds for what is learned here."""
    monkeypatch.setattr(boosting, "MOST_ROUNDS", 60)


def grown(x: np.ndarray, y: np.ndarray, size: int = 1, **options) -> str:
    """Trees for a squared error (one output) or classes, from logits of 0."""
    target = torch.from_numpy(y)

    def loss(logits: torch.Tensor, rows: np.ndarray) -> torch.Tensor:
        if size == 1:
            return F.mse_loss(logits[:, 0], target[rows])
        return F.cross_entropy(logits, target[rows])

    settings = {"leaves": 15, "rate": 0.2, "seed": 0} | options
    folds = deal(y, 3, np.random.default_rng(0))
    return boost(x, loss, np.zeros((len(x), size)), len(x), folds, **settings)


def answers(trees: str, x: np.ndarray, size: int = 1) -> np.ndarray:
    forest = Forest(size)
    forest.load(trees)
    return forest(torch.from_numpy(x)).numpy()


def count(trees: str) -> int:
    return lightgbm.Booster(model_str=trees).num_trees()


def leaves(forest: Forest) -> list[list[float]]:
    """Every tree's leaf values."""
    lines = forest.content.splitlines()
    values = [line.partition("=")[2] for line in lines if line.startswith("leaf_value=")]
    return [[float(value) for value in one.split()] for one in values]


# -- boosting ----------------------------------------------------------------------------------


def test_a_step_function_is_fitted_exactly():
    x = np.repeat(np.arange(30.0), 10)[:, None]
    y = np.where(x[:, 0] > 20, 3.0, -1.0)
    np.testing.assert_allclose(answers(grown(x, y), x)[:, 0], y, atol=0.02)


def test_every_tree_lowers_the_training_loss_of_a_learnable_task():
    x = np.random.default_rng(0).normal(size=(300, 3))
    y = np.sin(3 * x[:, 0]) + x[:, 1]
    trees = grown(x, y)
    booster = lightgbm.Booster(model_str=trees)
    counts = range(1, count(trees), max(1, count(trees) // 10))
    sums = [booster.predict(x, raw_score=True, num_iteration=n) for n in counts]
    losses = [np.mean(y**2), *(np.mean((one - y) ** 2) for one in sums)]
    assert (np.diff(losses) < 0).all()
    assert losses[-1] < 0.05 * losses[0]


def test_classes_that_no_line_tells_apart():
    x = np.random.default_rng(0).normal(size=(400, 2))
    y = (x[:, 0] * x[:, 1] > 0).astype(int)
    assert (answers(grown(x, y, 2), x, 2).argmax(1) == y).mean() > 0.95


def test_missing_values_go_where_they_belong():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 1))
    gone = rng.random(300) < 0.3
    y = np.where(gone, 2.0, np.where(x[:, 0] > 0, 1.0, -1.0))
    x[gone] = np.nan
    np.testing.assert_allclose(answers(grown(x, y), x)[:, 0], y, atol=0.1)


def test_of_noise_next_to_nothing_is_learned():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(200, 3)), rng.integers(0, 2, 200)
    assert count(grown(x, y, 2)) // 2 < 20


@pytest.mark.parametrize("gaps", [False, True])
def test_of_features_that_do_not_vary_nothing_is_learned(gaps):
    x = np.full((200, 3), np.nan if gaps else 1.0)
    assert grown(x, np.repeat([0.0, 1.0], 100)) == ""


@pytest.mark.parametrize("rows", [2, 5, 8])
def test_a_handful_of_rows_is_no_failure(rows):
    x = np.arange(rows * 2.0).reshape(rows, 2)
    assert np.isfinite(answers(grown(x, x[:, 0]), x)).all()


def test_as_many_rounds_are_kept_as_held_out_rows_want(monkeypatch):
    asked = []
    grow = boosting._grow

    def watched(*args):
        asked.append(grow(*args))
        return asked[-1]

    monkeypatch.setattr(boosting, "_grow", watched)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 2))
    trees = grown(x, x[:, 0] + rng.normal(size=200))
    *folds, _ = asked
    wanted = round(np.mean([booster.best_iteration for booster in folds]))
    assert len(folds) == 3
    assert count(trees) == wanted < boosting.MOST_ROUNDS


def test_growing_stops_early_where_the_time_ends(monkeypatch):
    """By a clock that every look at it moves on by a second; trees come of it, and no Late."""
    seconds = iter(range(100, -1, -1))
    monkeypatch.setattr(boosting.deadline, "left", lambda: next(seconds))
    monkeypatch.setattr(boosting.deadline, "check", lambda: None)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 2))
    trees = grown(x, 9 * np.sin(9 * x[:, 0]) + x[:, 1])
    assert 0 < count(trees) <= 25


def test_derivatives_are_those_on_paper():
    rng = np.random.default_rng(0)
    z, y = rng.normal(size=(5, 3)), rng.integers(0, 3, 5)
    p = torch.from_numpy(z).softmax(1).numpy()
    slope, bend = derivatives(lambda t: F.cross_entropy(t, torch.from_numpy(y)), z)
    np.testing.assert_allclose(slope, p - np.eye(3)[y])
    np.testing.assert_allclose(bend, p * (1 - p))
    goal = torch.from_numpy(rng.normal(size=(5, 1)))
    slope, bend = derivatives(lambda t: F.mse_loss(t, goal), z[:, :1])
    np.testing.assert_allclose(slope, 2 * (z[:, :1] - goal.numpy()))
    np.testing.assert_allclose(bend, 2)
    slope, bend = derivatives(lambda t: F.l1_loss(t, goal), z[:, :1])
    np.testing.assert_allclose(slope, np.sign(z[:, :1] - goal.numpy()))
    np.testing.assert_allclose(bend, 1)


# -- the forest --------------------------------------------------------------------------------


@pytest.mark.parametrize("gaps", [False, True])
@pytest.mark.parametrize("size", [1, 3])
def test_the_forest_answers_as_lightgbm(gaps, size):
    """With gaps in training, and with gaps only later, which LightGBM reads as 0."""
    rng = np.random.default_rng(0)
    x = rng.normal(0.5, 1, (300, 4))
    holes = rng.random(x.shape) < 0.2
    later = np.where(holes, np.nan, x)
    x = later if gaps else x
    y = (np.nan_to_num(x)[:, 0] > 0.3).astype(int) + (np.nan_to_num(x)[:, 1] > 1)
    objective = {"objective": "multiclass", "num_class": 3} if size == 3 else {"objective": "l2"}
    options = {**objective, "verbosity": -1, "num_leaves": 7, "num_threads": 1, "seed": 0}
    booster = lightgbm.train(options, lightgbm.Dataset(x, y), 20)
    found = answers(booster.model_to_string(), later, size)
    wanted = booster.predict(later, raw_score=True).reshape(-1, size)
    np.testing.assert_allclose(found, wanted, atol=1e-12)


def test_an_empty_forest_answers_nothing():
    x = np.random.default_rng(0).normal(size=(50, 2))
    assert answers("", x, 3).tolist() == [[0.0] * 3] * 50
    assert answers(grown(x, x[:, 0]), x[:0]).shape == (0, 1)


def test_several_threads_get_the_answers_of_one():
    x = np.random.default_rng(0).normal(size=(80, 3))
    forest = Forest(1)
    forest.load(grown(x, x[:, 0] * x[:, 1]))
    given = torch.from_numpy(x)
    wanted = forest(given)
    with ThreadPoolExecutor(8) as threads:
        for found in threads.map(lambda _: forest(given), range(40)):
            assert torch.equal(found, wanted)


def test_other_trees_loaded_into_the_same_module_answer_from_then_on():
    x = np.random.default_rng(0).normal(size=(80, 1))
    first, second = Forest(1), Forest(1)
    first.load(grown(x, x[:, 0]))
    second.load(grown(x, -x[:, 0]))
    given = torch.from_numpy(x)
    assert not torch.equal(first(given), second(given))
    fill(first, second.state_dict())
    assert torch.equal(first(given), second(given))
    # In place, as `load_state_dict` does where the lengths are equal.
    lines = first.content.splitlines(keepends=True)
    other = [x.replace("1", "2") if x.startswith("leaf_value") else x for x in lines]
    second.load("".join(other))
    first.text.copy_(second.text)
    assert torch.equal(first(given), second(given))


def test_damaged_trees_are_an_error_not_the_end_of_the_process():
    x = np.random.default_rng(0).normal(size=(80, 1))
    forest = Forest(1)
    forest.load(grown(x, x[:, 0]))
    forest.text[200] += 1
    with pytest.raises(UserError, match="damaged"):
        forest(torch.from_numpy(x))


# -- the expert --------------------------------------------------------------------------------


def crossed(rows: int = 300) -> pd.DataFrame:
    """An exclusive or of two numbers, a step of one, and sets; a text that says one of them."""
    rng = np.random.default_rng(0)
    a, b = rng.uniform(-1, 1, (2, rows))
    return pd.DataFrame(
        {
            "a": a,
            "b": b,
            "note": np.where(a > 0, "up and away", "down below"),
            "label": np.where((a > 0) ^ (b > 0), "odd", "even"),
            "step": np.where(a > 0.5, 4.0, np.where(a > -0.5, 10.0, 1.0))
            + rng.normal(0, 0.1, rows),
            "set": [
                [n for n, yes in (("odd", (x > 0) ^ (y > 0)), ("in", abs(x) < 0.5)) if yes]
                for x, y in zip(a, b, strict=True)
            ],
        }
    )


NUMBERS = {"a": "number", "b": "number"}


def test_classes_numbers_and_sets_that_a_line_cannot_tell(task):
    job = task(
        crossed(600), NUMBERS, {"label": "classify", "step": "regress", "set": "multilabel"}, 400
    )
    found = job.scores(job.fit("trees", rate=0.2))
    right = found["label"].argmax(1) == job.truth("label")
    assert right[400:].mean() > 0.9
    wanted = job.truth("step") * job.tasks["step"].scale + job.tasks["step"].mean
    assert np.median(np.abs(found["step"][400:, 0] - wanted[400:])) < 0.5
    assert ((found["set"] > 0.5) == job.truth("set"))[400:].mean() > 0.9
    linear = job.scores(job.fit("linear"))["label"].argmax(1) == job.truth("label")
    assert linear[400:].mean() < 0.65


def test_an_absolute_error_is_learned(task):
    """Medians: a tenth of wild rows leaves the others alone."""
    frame = crossed()
    frame["step"] = np.where(np.arange(300) % 10, frame["step"], 60.0)
    job = task(frame, NUMBERS, {"step": {"name": "regress", "error": "mae"}})
    found = job.scores(job.fit("trees"))["step"][:, 0]
    calm = np.arange(300) % 10 > 0
    assert np.median(np.abs(found - frame["step"])[calm]) < 1.5


def test_balanced_classes_count_alike_however_rare(task):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": rng.normal(size=300), "y": ["rare"] * 30 + ["common"] * 270})
    for weights, rare in ((None, 0.1), ("balanced", 0.5)):
        job = task(frame, {"x": "number"}, {"y": {"name": "classify", "class_weights": weights}})
        shares = job.scores(job.fit("trees"))["y"]
        assert shares[:, 1].mean() == pytest.approx(rare, abs=0.08)


def test_absent_modalities_are_as_missing_ones(task):
    frame = crossed()
    frame.loc[:40, "note"] = None
    frame.loc[41:80, ["a", "b"]] = None
    job = task(frame, {"note": "text", **NUMBERS}, {"label": "classify"})
    module = job.fit("trees")
    plain = job.scores(module)["label"]
    for name, gone in (("note", slice(0, 41)), ("table", slice(41, 81))):
        hidden = job.scores(module, (name,))["label"]
        np.testing.assert_array_equal(hidden[gone], plain[gone])
        assert np.abs(hidden - plain).max() > 0.05
    nothing = job.scores(module, ("note", "table"))["label"]
    assert np.isfinite(nothing).all()
    assert (nothing == nothing[0]).all()


def test_pictures_without_a_table_or_text_start_from_the_prior(task):
    rng = np.random.default_rng(0)
    steps = [rng.normal(i % 2, 1, (20, 2)).tolist() for i in range(80)]
    frame = pd.DataFrame({"wave": steps, "y": ["low", "high"] * 40})
    job = task(frame, {"wave": "series"}, {"y": "classify"}, 60)
    module = job.fit("trees")
    assert module.linear is None
    right = job.scores(module)["y"].argmax(1) == job.truth("y")
    assert right[60:].mean() > 0.8


def test_same_seed_same_fit_and_saved_tensors_predict_the_same(task):
    frame = crossed(150)
    job = task(frame, {"note": "text", **NUMBERS}, {"label": "classify", "step": "regress"})
    module = job.fit("trees", seed=3)
    again = job.fit("trees", seed=3).state_dict()
    for name, value in module.state_dict().items():
        torch.testing.assert_close(value, again[name], rtol=0, atol=0)
    other = job.fit("trees", seed=4).state_dict()
    assert any(
        value.shape != other[name].shape or not torch.equal(value, other[name])
        for name, value in module.state_dict().items()
        if name.startswith("layers")
    )
    empty = job.build("trees")
    fill(empty, module.state_dict())
    for name, wanted in job.scores(module).items():
        np.testing.assert_allclose(job.scores(empty.eval())[name], wanted, atol=1e-6)


def test_the_options_change_the_trees(task):
    job = task(crossed(150), NUMBERS, {"label": "classify"})
    plain = job.fit("trees").layers[0]
    stumps = job.fit("trees", leaves=2).layers[0]
    assert {len(one) for one in leaves(stumps)} == {2} != {len(one) for one in leaves(plain)}
    slow = job.fit("trees", rate=0.02).layers[0]
    assert (
        np.abs(np.concatenate(leaves(slow))).max() < np.abs(np.concatenate(leaves(plain))).max() / 2
    )
    assert not torch.equal(job.fit("trees", folds=2).layers[0].text, plain.text)


def test_words_cannot_be_tagged():
    with pytest.raises(UserError, match="cannot label the words"):
        Trees({"note": "text"}, {}, {"tags": Tag("tags")})
