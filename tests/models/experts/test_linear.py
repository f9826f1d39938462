"""Linear experts against scikit-learn and scipy, and what they do where something is missing."""

from __future__ import annotations

from itertools import count
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import optimize, sparse
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge
from torch.nn import functional as F

from polymodal.base import deadline
from polymodal.base.errors import UserError
from polymodal.modalities.text.block import Ngrams
from polymodal.models.experts import _convex, _stacking
from polymodal.models.experts._convex import STRENGTHS, choose, minimise, out_of_fold
from polymodal.models.experts._problem import deal
from polymodal.models.experts.linear import Linear
from polymodal.nn.weights import fill
from polymodal.prepared.targets import prepared
from polymodal.tasks.tag import Tag

WORDS = {
    "sea": ["calm sea", "deep water", "salt and waves", "a boat on the water"],
    "wood": ["tall trees", "green leaves", "moss and roots", "a path in the trees"],
    "town": ["busy street", "red houses", "a square and shops", "the street at night"],
}


def cloud(rows: int, width: int, classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Features of about unit length, and noisy classes that depend on them."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, width)) / width**0.5
    score = 3 * x @ rng.normal(size=(width, classes)) + rng.gumbel(size=(rows, classes))
    return x, score.argmax(1)


def softmax(logits: np.ndarray) -> np.ndarray:
    return torch.from_numpy(logits).softmax(1).numpy()


# -- the solver --------------------------------------------------------------------------------


@pytest.mark.parametrize("strength", [0.1, 3, 100])
@pytest.mark.parametrize("kind", ["dense", "csr"])
def test_softmax_regression_is_that_of_scikit_learn(strength, kind):
    x, y = cloud(200, 8, 3)
    features = sparse.csr_matrix(x) if kind == "csr" else x
    target = torch.from_numpy(y)
    found = minimise(features, lambda z: F.cross_entropy(z, target), 3, strength, tolerance=1e-9)
    wanted = LogisticRegression(C=strength, tol=1e-10, max_iter=5000).fit(x, y)
    np.testing.assert_allclose(found.weight.T, wanted.coef_, atol=2e-4, rtol=1e-3)
    shares = softmax(found(features))
    np.testing.assert_allclose(shares, wanted.predict_proba(x), atol=1e-4)


def test_two_softmax_outputs_are_a_sigmoid_of_twice_the_strength():
    x, y = cloud(200, 8, 2)
    target = torch.from_numpy(y)
    found = minimise(x, lambda z: F.cross_entropy(z, target), 2, 1.0, tolerance=1e-9)
    wanted = LogisticRegression(C=2.0, tol=1e-10, max_iter=5000).fit(x, y)
    np.testing.assert_allclose(softmax(found(x)), wanted.predict_proba(x), atol=1e-4)


@pytest.mark.parametrize("strength", [0.1, 10])
def test_squared_error_is_ridge_regression(strength):
    x, _ = cloud(150, 6, 2)
    rng = np.random.default_rng(1)
    y = 5 + x @ rng.normal(size=(6, 2)) + 0.1 * rng.normal(size=(150, 2))
    target = torch.from_numpy(y)

    def loss(logits: torch.Tensor) -> torch.Tensor:
        return (logits - target).square().sum(1).mean()

    found = minimise(x, loss, 2, strength, tolerance=1e-9)
    wanted = Ridge(alpha=1 / (2 * strength)).fit(x, y)
    np.testing.assert_allclose(found.weight.T, wanted.coef_, atol=1e-5)
    np.testing.assert_allclose(found.bias, wanted.intercept_, atol=1e-5)


@pytest.mark.parametrize("error", ["huber", "l1", "bce"])
def test_other_convex_losses_reach_the_minimum_that_scipy_finds(error):
    x, y = cloud(80, 4, 2)
    rng = np.random.default_rng(2)
    x[:, 0] *= 30  # an ill-conditioned problem, on which steps are rejected
    wild = torch.from_numpy(x @ rng.normal(size=4) + rng.standard_cauchy(80))
    losses = {
        "huber": lambda z: F.huber_loss(z[:, 0], wild),
        "l1": lambda z: F.l1_loss(z[:, 0], wild),
        "bce": lambda z: F.binary_cross_entropy_with_logits(z[:, 0], torch.from_numpy(y).double()),
    }
    strength = 2.0

    def whole(flat: np.ndarray) -> float:
        logits = torch.from_numpy(x @ flat[:4] + flat[4]).unsqueeze(1)
        return strength * 80 * losses[error](logits).item() + 0.5 * float(flat[:4] @ flat[:4])

    found = minimise(x, losses[error], 1, strength, tolerance=1e-6)
    options = {"maxiter": 20000, "maxfev": 20000, "xatol": 1e-9, "fatol": 1e-9, "adaptive": True}
    start = np.append(found.weight, found.bias)
    best = optimize.minimize(whole, start, method="Nelder-Mead", options=options).fun
    # Where the loss has kinks, the last steps are short.
    assert whole(start) <= best * (1 + (5e-3 if error == "l1" else 1e-6))


def test_the_curvature_is_that_of_the_point_it_is_asked_at(monkeypatch):
    """A rejected step must not leave the next direction to the curvature of another point."""
    x, _ = cloud(300, 20, 2)
    x[:, 0] *= 100
    goal = x[:, 1] + np.random.default_rng(0).standard_cauchy(300)
    strength, errors = 100.0, []
    solver = optimize.minimize

    def minimize(value, start, jac, hessp, **options):
        def asked(flat, direction):
            found = hessp(flat, direction)
            bend = (1 + (x @ flat[:-1] + flat[-1] - goal) ** 2) ** -1.5
            step = strength * bend * (x @ direction[:-1] + direction[-1])
            wanted = np.append(x.T @ step + direction[:-1], step.sum())
            errors.append(np.linalg.norm(found - wanted) / np.linalg.norm(wanted))
            value(flat + direction)  # as a step that is rejected does
            return found

        return solver(value, start, jac=jac, hessp=asked, **options)

    monkeypatch.setattr(optimize, "minimize", minimize)
    known = torch.from_numpy(goal)
    minimise(x, lambda z: (1 + (z[:, 0] - known) ** 2).sqrt().mean(), 1, strength)
    assert len(errors) > 5
    # Products with the features are in single precision.
    assert max(errors) < 1e-4


def test_weights_are_drawn_to_the_prior_as_the_strength_falls():
    x, y = cloud(100, 3, 3)
    prior = np.arange(9.0).reshape(3, 3)
    target = torch.from_numpy(y)
    found = minimise(x, lambda z: F.cross_entropy(z, target), 3, 1e-7, prior=prior)
    np.testing.assert_allclose(found.weight, prior, atol=1e-3)


def test_without_features_the_bias_is_the_prior():
    target = torch.tensor([0] * 6 + [1] * 3 + [2])
    found = minimise(np.zeros((10, 0)), lambda z: F.cross_entropy(z, target), 3, 1.0)
    np.testing.assert_allclose(softmax(found.bias[None])[0], [0.6, 0.3, 0.1], atol=1e-3)


def test_the_strength_is_that_of_the_lowest_loss_on_held_out_rows():
    """Noise wants the least strength; what is certain wants much."""
    x, y = cloud(300, 20, 2)
    folds = deal(y, 3, np.random.default_rng(0))

    def strength(target: np.ndarray) -> float:
        known = torch.from_numpy(target)
        return choose(x, lambda z, rows: F.cross_entropy(z, known[rows]), 2, folds)

    assert strength(np.random.default_rng(5).integers(0, 2, 300)) <= 0.1
    assert strength((x[:, 0] > 0).astype(int)) >= 100
    assert {strength(y)} <= set(STRENGTHS)


def test_stronger_fits_are_tried_only_while_there_is_time(monkeypatch):
    """What is certain wants much strength; whoever runs out of time gets the one reached."""
    x, _ = cloud(300, 20, 2)
    certain = torch.from_numpy((x[:, 0] > 0).astype(int))
    folds = deal(certain.numpy(), 3, np.random.default_rng(0))
    clock = [0.0]

    def loss(z: torch.Tensor, rows: np.ndarray) -> torch.Tensor:
        clock[0] += len(rows) == len(folds[0][1])  # a second for each strength and fold
        return F.cross_entropy(z, certain[rows])

    def reached(seconds: float, after: int) -> int:
        clock[0] = 0.0
        monkeypatch.setattr(deadline, "left", lambda: seconds - clock[0])
        return STRENGTHS.index(choose(x, loss, 2, folds, after=after))

    monkeypatch.setattr(deadline, "check", lambda: None)
    monkeypatch.setattr(_convex.time, "perf_counter", lambda: clock[0])
    # Of three seconds for each strength; the next is taken to last 4.5, each fit after it 3.
    assert reached(0.0, 0) == 0
    assert reached(3 + 4.5, 0) == 1
    assert reached(3 + 4.5 + 4 * 3, 4) == 1
    assert reached(3 + 4.5 + 4 * 3 - 0.1, 4) == 0
    assert reached(1e6, 4) > 1


def test_out_of_fold_logits_come_from_fits_that_have_not_seen_the_row():
    x, y = cloud(60, 4, 2)
    target = torch.from_numpy(y)
    folds = deal(y, 3, np.random.default_rng(0))
    found = out_of_fold(x, lambda z, rows: F.cross_entropy(z, target[rows]), 2, 1.0, folds)
    for fit, held in folds:
        one = LogisticRegression(C=2.0, tol=1e-8).fit(x[fit], y[fit])
        np.testing.assert_allclose(softmax(found[held]), one.predict_proba(x[held]), atol=1e-2)


# -- the folds ---------------------------------------------------------------------------------


def test_folds_are_alike_and_hold_every_row_once():
    y = np.repeat([0, 1, 2], [60, 30, 10])
    folds = deal(y, 5, np.random.default_rng(0))
    assert sorted(np.concatenate([held for _, held in folds])) == list(range(100))
    for fit, held in folds:
        assert np.bincount(y[held]).tolist() == [12, 6, 2]
        assert not set(fit) & set(held)


def test_groups_stay_whole_and_limit_the_folds():
    rng = np.random.default_rng(0)
    groups = rng.integers(0, 4, 90)
    folds = deal(rng.normal(size=90), 10, rng, groups)
    assert len(folds) == 4
    for fit, held in folds:
        assert not set(groups[fit]) & set(groups[held])


def test_noise_with_every_row_twice_is_at_chance_out_of_fold():
    """A copy in the other fold would tell its row's class."""
    rng = np.random.default_rng(0)
    x, y = np.repeat(rng.normal(size=(60, 200)), 2, 0), np.repeat(rng.integers(0, 2, 60), 2)
    target = torch.from_numpy(y)

    def right(groups: np.ndarray | None) -> float:
        folds = deal(y, 5, np.random.default_rng(0), groups)
        found = out_of_fold(x, lambda z, r: F.cross_entropy(z, target[r]), 2, 1.0, folds)
        return float((found.argmax(1) == y).mean())

    assert right(None) > 0.8 and abs(right(np.repeat(np.arange(60), 2)) - 0.5) < 0.15


def test_a_single_group_can_only_be_cut():
    folds = deal(np.arange(20) % 2, 5, np.random.default_rng(0), np.zeros(20, int))
    assert len(folds) == 5 and all(len(fit) and len(held) for fit, held in folds)


# -- features ----------------------------------------------------------------------------------


def notes(rows: int, seed: int = 0) -> pd.DataFrame:
    """Texts whose words say the class, and two numbers of which one says a little."""
    rng = np.random.default_rng(seed)
    label = rng.choice(list(WORDS), rows)
    place = {name: i for i, name in enumerate(WORDS)}
    return pd.DataFrame(
        {
            "note": [f"{rng.choice(WORDS[name])} {rng.integers(0, 40)}" for name in label],
            "level": [place[name] + rng.normal() for name in label],
            "other": rng.normal(size=rows),
            "label": label,
        }
    )


def test_text_features_are_those_of_tfidf_vectorizer(task):
    frame = notes(80)
    job = task(frame, {"note": "text"}, {"label": "classify"})
    block = Ngrams(100_000)
    rows = np.arange(80)
    block.learn(job.inputs["note"], rows)
    found = block.matrix(job.inputs["note"], rows)
    wanted = TfidfVectorizer(
        sublinear_tf=True, ngram_range=(1, 2), min_df=2, token_pattern=r"\w+"
    ).fit_transform(frame["note"])
    assert (found.getnnz(0) > 0).sum() == wanted.shape[1]
    np.testing.assert_allclose(
        (found @ found.T).toarray(), (wanted @ wanted.T).toarray(), atol=1e-5
    )


@pytest.mark.parametrize("kinds", [{"note": "text"}, {"level": "number", "label": "category"}])
def test_a_block_times_weights_is_its_matrix_times_weights(task, kinds):
    frame = notes(50)
    frame.loc[:4, list(kinds)] = None
    job = task(frame, kinds, {"other": "regress"})
    cells, rows = next(iter(job.inputs.values())), np.arange(50)
    part = job.build("linear").blocks[0]
    part.learn(cells, rows)
    weight = torch.randn(part.width, 3, dtype=torch.float64)
    matrix = part.matrix(cells, rows)
    found = part(cells.gather(rows), weight)
    np.testing.assert_allclose(found, matrix @ weight.numpy(), atol=1e-5)
    np.testing.assert_array_equal(found[:5], 0)


def test_a_wild_number_counts_for_five_deviations(task):
    frame = pd.DataFrame({"x": [*np.tile([-1.0, 1.0], 500), 1e9], "y": [0.0, 1.0] * 500 + [1.0]})
    job = task(frame, {"x": "number"}, {"y": "regress"}, rows=1000)
    part = job.build("linear").blocks[0]
    part.learn(job.inputs["table"], np.arange(1000))
    np.testing.assert_allclose(
        part.matrix(job.inputs["table"], np.array([0, 1000])).toarray()[:, 0], [-1, 5]
    )


# -- the expert --------------------------------------------------------------------------------


def test_decisions_and_probabilities_are_those_of_the_best_logistic_regression(task):
    """Of all strengths, each on the same features; on rows neither has seen."""
    frame = notes(500)
    job = task(frame, {"level": "number", "other": "number"}, {"label": "classify"}, rows=300)
    module = job.fit("linear")
    x = module.blocks[0].matrix(job.inputs["table"], np.arange(500)).toarray()
    y = job.truth("label")
    shares = job.scores(module)["label"][300:]
    fits = [LogisticRegression(C=c, max_iter=2000).fit(x[:300], y[:300]) for c in STRENGTHS[:8]]
    others = [fit.predict_proba(x[300:]) for fit in fits]

    def log_loss(p: np.ndarray) -> float:
        return -np.log(p[np.arange(200), y[300:]]).mean()

    best = min(others, key=log_loss)
    assert (shares.argmax(1) == best.argmax(1)).mean() >= 0.95
    assert np.abs(shares - best).mean() < 0.02
    assert log_loss(shares) < log_loss(best) + 0.01


def test_a_number_is_that_of_ridge_regression(task):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(400, 3)), columns=list("abc"))
    frame["y"] = 2 * frame["a"] - frame["b"] + 7 + 0.1 * rng.normal(size=400)
    job = task(frame, dict.fromkeys("abc", "number"), {"y": "regress"}, rows=300)
    found = job.scores(job.fit("linear"))["y"][300:, 0]
    x, y = frame[list("abc")].to_numpy(), frame["y"].to_numpy()
    wanted = Ridge(alpha=1e-3).fit(x[:300], y[:300]).predict(x[300:])
    # The few rows beyond the training range are held back, and wild numbers are cut.
    assert np.median(np.abs(found - wanted)) < 0.02
    assert np.quantile(np.abs(found - wanted), 0.95) < 0.1


def test_a_few_ordered_values_are_told_apart_where_a_line_cannot(task):
    """0 left, 2 in the middle, 1 right: no line, but linear logits of three classes."""
    rng = np.random.default_rng(0)
    x = rng.uniform(-3, 3, 400)
    frame = pd.DataFrame({"x": x, "bent": np.select([x < -1, x < 1], [0.0, 2.0], 1.0), "line": x})
    job = task(frame, {"x": "number"}, {"bent": "regress", "line": "regress"}, rows=300)
    module = job.fit("linear")
    found = job.scores(module)["bent"][300:, 0]
    assert np.abs(found - frame["bent"].to_numpy()[300:]).mean() < 0.15
    assert module.values_0.tolist() == pytest.approx(
        [(v - job.tasks["bent"].mean) / job.tasks["bent"].scale for v in (0, 1, 2)]
    )
    assert len(module.values_1) == 0


def test_labels_of_a_set_are_told_apart_independently(task):
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 400))
    sets = [[n for n, x in (("p", i), ("q", j)) if x > 0] for i, j in zip(a, b, strict=True)]
    job = task(
        pd.DataFrame({"a": a, "b": b, "y": sets}),
        {"a": "number", "b": "number"},
        {"y": "multilabel"},
        rows=300,
    )
    found = job.scores(job.fit("linear"))["y"][300:] > 0.5
    assert (found == job.truth("y")[300:]).mean() > 0.95


def test_balanced_classes_count_alike_however_rare(task):
    """Of noise there is nothing to learn but how often each class comes."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": rng.normal(size=300), "y": ["rare"] * 30 + ["common"] * 270})
    for weights, rare in ((None, 0.1), ("balanced", 0.5)):
        job = task(frame, {"x": "number"}, {"y": {"name": "classify", "class_weights": weights}})
        shares = job.scores(job.fit("linear"))["y"]
        assert shares[:, 1].mean() == pytest.approx(rare, abs=0.02)


def test_two_modalities_say_more_than_either_and_an_absent_one_counts_as_the_mean(task):
    frame = notes(400)
    frame["label"] = [
        f"{name}{int(x > 0)}" for name, x in zip(frame["label"], frame["other"], strict=True)
    ]
    job = task(frame, {"note": "text", "other": "number"}, {"label": "classify"}, rows=300)
    module = job.fit("linear")
    y = job.truth("label")

    def right(*absent: str) -> float:
        return float((job.scores(module, absent)["label"].argmax(1) == y)[300:].mean())

    assert right() > 0.95
    assert 0.4 < right("table") < 0.65
    assert 0.25 < right("note") < 0.45
    inputs = {name: cells.gather(np.arange(300)) for name, cells in job.inputs.items()}
    for tokens in module.encode(inputs).values():
        np.testing.assert_allclose(tokens.values.mean((0, 1)), 0, atol=1e-5)
    nothing = module.fuse(module.encode(inputs), absent=("note", "table")).logits["label"]
    np.testing.assert_array_equal(nothing, module.bias.expand(300, -1))


def test_a_row_without_a_modality_is_as_one_whose_modality_is_called_absent(task):
    frame = notes(200)
    frame.loc[:30, "note"] = None
    job = task(frame, {"note": "text", "level": "number"}, {"label": "classify"})
    module = job.fit("linear")
    found, hidden = job.scores(module)["label"], job.scores(module, ("note",))["label"]
    np.testing.assert_array_equal(found[:31], hidden[:31])
    assert np.abs(found[31:] - hidden[31:]).max() > 0.1


def test_a_modality_that_no_training_row_has_changes_nothing(task):
    frame = notes(200)
    kinds = {"note": "text", "level": "number"}
    frame.loc[:149, "note"] = None
    job = task(frame, kinds, {"label": "classify"}, rows=150)
    found = job.scores(job.fit("linear"))["label"]
    alone = task(frame, {"level": "number"}, {"label": "classify"}, rows=150)
    wanted = alone.scores(alone.fit("linear"))["label"]
    np.testing.assert_allclose(found, wanted, atol=0.02)


def test_that_a_modality_is_missing_may_itself_tell(task):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": rng.normal(size=200), "level": rng.normal(size=200)})
    frame["label"] = np.where(rng.random(200) < 0.5, "gone", "here")
    frame["note"] = [None if name == "gone" else "some words" for name in frame["label"]]
    job = task(frame, {"note": "text", "x": "number"}, {"label": "classify"})
    found = job.scores(job.fit("linear"))["label"]
    assert (found.argmax(1) == job.truth("label")).all()


def test_rows_without_a_target_are_left_out(task):
    frame = notes(200)
    frame["size"] = frame["level"] * 2
    spoilt = frame.copy()
    spoilt.loc[:49, "label"] = None
    job = task(spoilt, {"level": "number"}, {"label": "classify", "size": "regress"})
    part = task(frame.iloc[50:], {"level": "number"}, {"label": "classify"})
    found = job.scores(job.fit("linear"))["label"][50:]
    np.testing.assert_allclose(found, part.scores(part.fit("linear"))["label"], atol=0.03)


def test_same_seed_same_fit_and_saved_tensors_predict_the_same(task):
    frame = notes(200)
    job = task(
        frame, {"note": "text", "level": "number"}, {"label": "classify", "other": "regress"}
    )
    module = job.fit("linear", seed=3)
    again = job.fit("linear", seed=3)
    for name, value in module.state_dict().items():
        torch.testing.assert_close(value, again.state_dict()[name], rtol=0, atol=0)
    assert any(
        not torch.equal(value, module.state_dict()[name])
        for name, value in job.fit("linear", seed=4).state_dict().items()
    )
    empty = job.build("linear")
    fill(empty, module.state_dict())
    for name, wanted in job.scores(module).items():
        np.testing.assert_allclose(job.scores(empty.eval())[name], wanted, atol=1e-6)


def test_the_options_change_the_fit(task):
    job = task(notes(150), {"note": "text"}, {"label": "classify"})
    assert job.fit("linear", vocabulary=10).blocks[0].width == 11
    two, five = job.fit("linear", folds=2), job.fit("linear", folds=5)
    assert not torch.equal(two.weight_0, five.weight_0)


def test_words_cannot_be_tagged():
    with pytest.raises(UserError, match="cannot label the words"):
        Linear({"note": "text"}, {}, {"tags": Tag("tags")})


def test_equal_parts_are_fitted_once(monkeypatch: pytest.MonkeyPatch, task: Any) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.normal(size=80), "note": ["red fox", "blue sky"] * 40})
    frame["label"] = np.where(frame["a"] > 0, "up", "down")
    made = task(frame, {"a": "number", "note": "text"}, {"label": "classify"})
    plain = made.scores(made.fit("linear"))["label"]
    fitted: list[int] = []
    alone = _stacking._alone

    def watched(*args: Any) -> Any:
        fitted.append(1)
        return alone(*args)

    monkeypatch.setattr(_stacking, "_alone", watched)
    memo: dict[Any, Any] = {}
    rows = np.arange(80)
    for counted in (2, 2):
        module = made.build("linear")
        module.fit(made.inputs, rows, None, made.targets, 0, None, memo)
        assert len(fitted) == counted
        np.testing.assert_array_equal(made.scores(module.eval())["label"], plain)
    other = made.tasks["label"].decode(np.eye(2)[1 - made.truth("label")])["label"]
    flipped = {"label": prepared(made.tasks["label"], other)}
    made.build("linear").fit(made.inputs, rows, None, flipped, 0, None, memo)
    assert len(fitted) == 4


def test_what_cannot_be_solved_in_time_is_refused_before_it_is_begun(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun: list[float] = []
    monkeypatch.setattr(_convex, "solve", lambda *given, **_: begun.append(given[3]))
    monkeypatch.setattr(_convex, "_seconds", lambda *_: 1.0)
    x, y = cloud(60, 5, 3)
    loss = lambda z, rows: F.cross_entropy(z, torch.from_numpy(y[rows]))  # noqa: E731
    cut = deal(y, 3, np.random.default_rng(0))
    with deadline.within(100.0), pytest.raises(deadline.Late, match="would not be done"):
        choose(x, loss, 3, cut, after=6)  # (3 + 6) fits of twelve passes, a second each
    assert not begun


def test_a_pass_is_timed_by_a_part_of_the_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_convex, "time", SimpleNamespace(perf_counter=count().__next__))
    x, y = cloud(20_000, 5, 3)
    seen: list[int] = []

    def loss(z: torch.Tensor, rows: np.ndarray) -> torch.Tensor:
        seen.append(len(rows))
        return F.cross_entropy(z, torch.from_numpy(y[rows]))

    # The part takes one tick of that clock.
    assert _convex._seconds(x, loss, 3, np.arange(20_000)) == 20_000 / 1250
    assert set(seen) == {1250}
