"""Parity with scikit-learn under weights, and the known answers of metrics with traps."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from polymodal.contract.answers import likeliest
from polymodal.metrics import metrics
from polymodal.metrics.calibration import reliability


def classes_case(seed: int, rows: int, classes: int, ties: bool) -> tuple[np.ndarray, ...]:
    """Probabilities, targets in which every class occurs, and positive weights."""
    rng = np.random.default_rng(seed)
    raw = rng.integers(1, 4, (rows, classes)) if ties else rng.random((rows, classes)) + 0.01
    scores = raw / raw.sum(1, keepdims=True)
    targets = np.concatenate([np.arange(classes), rng.integers(0, classes, rows - classes)])
    return scores, targets, rng.random(rows) + 0.1


def value(found: dict, name: str, weights: np.ndarray) -> float:
    return float(found[name].statistic(weights[None])[0])


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(8, 40), st.integers(2, 5), st.booleans())
def test_classification_equals_scikit_learn(seed, rows, classes, ties):
    scores, y, w = classes_case(seed, rows, classes, ties)
    guess = scores.argmax(1)
    found = metrics.classification(scores, y)
    kinds = [1] if classes == 2 else range(classes)
    expected = {
        "accuracy": sk.accuracy_score(y, guess, sample_weight=w),
        "macro_f1": sk.f1_score(y, guess, average="macro", sample_weight=w, zero_division=0),
        "weighted_f1": sk.f1_score(y, guess, average="weighted", sample_weight=w, zero_division=0),
        "balanced_accuracy": sk.balanced_accuracy_score(y, guess, sample_weight=w),
        "roc_auc": np.mean(
            [sk.roc_auc_score(y == k, scores[:, k], sample_weight=w) for k in kinds]
        ),
        "average_precision": np.mean(
            [sk.average_precision_score(y == k, scores[:, k], sample_weight=w) for k in kinds]
        ),
        "log_loss": sk.log_loss(y, scores, sample_weight=w, labels=np.arange(classes)),
    }
    for name, wanted in expected.items():
        assert value(found, name, w) == pytest.approx(wanted, abs=1e-9), name


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 4))
def test_whole_weights_equal_repeated_rows(seed, classes):
    scores, y, _ = classes_case(seed, 20, classes, ties=True)
    counts = np.random.default_rng(seed).integers(0, 3, 20)
    counts[0] = 1
    again = np.repeat(np.arange(20), counts)
    weighted = metrics.classification(scores, y)
    repeated = metrics.classification(scores[again], y[again])
    ones = np.ones(len(again))
    for name in repeated:
        assert value(weighted, name, counts.astype(float)) == pytest.approx(
            value(repeated, name, ones), abs=1e-9
        ), name
    guess, gold = scores[again].argmax(1), y[again]
    assert value(repeated, "macro_f1", ones) == pytest.approx(
        sk.f1_score(gold, guess, average="macro", zero_division=0), abs=1e-9
    )


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(3, 40), st.sampled_from([1.0, 1e-3, 1e6]))
def test_regression_equals_scikit_learn(seed, rows, scale):
    rng = np.random.default_rng(seed)
    y = scale * (rng.normal(size=rows) + 100)
    values = y + scale * rng.normal(size=rows)
    w = rng.random(rows) + 0.1
    found = metrics.regression(values, y)
    assert value(found, "rmse", w) == pytest.approx(
        np.sqrt(sk.mean_squared_error(y, values, sample_weight=w)), rel=1e-9
    )
    assert value(found, "mae", w) == pytest.approx(
        sk.mean_absolute_error(y, values, sample_weight=w), rel=1e-9
    )
    assert value(found, "r2", w) == pytest.approx(sk.r2_score(y, values, sample_weight=w), rel=1e-9)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(4, 30), st.integers(1, 4))
def test_multilabel_equals_scikit_learn(seed, rows, labels):
    rng = np.random.default_rng(seed)
    scores = rng.random((rows, labels))
    y = rng.integers(0, 2, (rows, labels))
    y[0], y[1] = 0, 1
    w = rng.random(rows) + 0.1
    found = metrics.multilabel(scores, y)
    guess = (scores >= 0.5).astype(int)
    several = labels > 1
    for name, average in (("micro_f1", "micro"), ("macro_f1", "macro")):
        if several:
            wanted = sk.f1_score(y, guess, average=average, sample_weight=w, zero_division=0)
        else:
            wanted = sk.f1_score(y[:, 0], guess[:, 0], sample_weight=w, zero_division=0)
        assert value(found, name, w) == pytest.approx(wanted, abs=1e-9)
    assert value(found, "roc_auc", w) == pytest.approx(
        np.mean([sk.roc_auc_score(y[:, k], scores[:, k], sample_weight=w) for k in range(labels)]),
        abs=1e-9,
    )
    assert value(found, "subset_accuracy", w) == pytest.approx(
        sk.accuracy_score(
            y if several else y[:, 0], guess if several else guess[:, 0], sample_weight=w
        ),
        abs=1e-9,
    )


def test_rows_without_a_target_count_nothing():
    scores, y, w = classes_case(0, 20, 3, ties=False)
    holes = np.concatenate([y, [-100, -100]])
    padded = np.concatenate([scores, [[1, 0, 0], [0, 0, 1]]])
    whole, holed = metrics.classification(scores, y), metrics.classification(padded, holes)
    assert whole.keys() == holed.keys()
    for name in whole:
        heavy = np.concatenate([w, [50, 50]])
        assert value(holed, name, heavy) == pytest.approx(value(whole, name, w), abs=1e-12)
    assert metrics.classification(scores, np.full(20, -100)) == {}
    assert metrics.regression(np.zeros(2), np.full(2, np.nan)) == {}
    assert metrics.multilabel(np.zeros((2, 2)), np.full((2, 2), -1)) == {}


def test_what_the_rows_do_not_define_is_left_out():
    scores = np.array([[0.9, 0.1], [0.6, 0.4]])
    found = metrics.classification(scores, np.array([0, 0]))
    assert "accuracy" in found and "roc_auc" not in found
    assert "r2" not in metrics.regression(np.array([1.0, 2.0]), np.array([3.0, 3.0]))


def test_directions():
    scores, y, _ = classes_case(0, 20, 3, ties=False)
    found = metrics.classification(scores, y) | metrics.regression(scores[:, 0], scores[:, 1])
    lower = {name for name, metric in found.items() if not metric.greater_is_better}
    assert lower == {"log_loss", "ece", "rmse", "mae"}


def test_ece_of_constant_confidence():
    scores = np.tile([0.8, 0.2], (100, 1))
    found = metrics.classification(scores, np.arange(100) % 2)
    assert value(found, "ece", np.ones(100)) == pytest.approx(0.3)


TAGS = ["O", "B-X", "I-X", "B-Y", "I-Y"]


def tags(*names: str) -> np.ndarray:
    return np.array([TAGS.index(name) for name in names])


def test_entities_are_strict():
    assert metrics.entities(["I-X", "I-X"]) == set()
    assert metrics.entities(["B-X", "I-X", "I-Y", "B-X"]) == {("X", 0, 2), ("X", 3, 4)}
    assert metrics.entities(["B-X", "B-X", "O", "I-X"]) == {("X", 0, 1), ("X", 1, 2)}


@settings(deadline=None)
@given(st.lists(st.sampled_from(TAGS), max_size=7))
def test_entities_by_definition(names):
    """Every span that begins with B-X, goes on with I-X, and is not followed by I-X."""
    spans = {
        (kind, i, j)
        for kind in "XY"
        for i in range(len(names))
        for j in range(i + 1, len(names) + 1)
        if names[i] == f"B-{kind}"
        and all(tag == f"I-{kind}" for tag in names[i + 1 : j])
        and names[j : j + 1] != [f"I-{kind}"]
    }
    assert metrics.entities(names) == spans


def test_entity_f1_known_answer():
    gold = [tags("B-X", "I-X")]
    ones = np.ones(1)
    wrong = metrics.tagging([tags("I-X", "I-X")], gold, TAGS)
    assert value(wrong, "entity_f1", ones) == 0
    assert value(wrong, "entity_precision", ones) == 0
    assert value(wrong, "token_accuracy", ones) == 0.5
    right = metrics.tagging(gold, gold, TAGS)
    assert all(value(right, name, ones) == 1 for name in right)


def test_tagging_counts_entities_and_words():
    gold = [tags("B-X", "I-X", "O", "B-Y"), tags("O", "O"), np.array([], np.int64)]
    guess = [tags("B-X", "I-X", "B-Y", "O"), tags("O", "B-X"), tags("B-X", "B-X")]
    found = metrics.tagging(guess, gold, TAGS)
    w = np.ones(3)
    assert value(found, "entity_precision", w) == pytest.approx(1 / 3)
    assert value(found, "entity_recall", w) == pytest.approx(1 / 2)
    assert value(found, "entity_f1", w) == pytest.approx(2 / 5)
    flat_gold, flat_guess = np.concatenate(gold[:2]), np.concatenate(guess[:2])
    assert value(found, "token_accuracy", w) == pytest.approx((flat_gold == flat_guess).mean())
    seen = sorted(set(flat_gold) | set(flat_guess))
    each = sk.f1_score(flat_gold, flat_guess, average=None, labels=seen, zero_division=0)
    assert value(found, "token_f1", w) == pytest.approx(each.mean())
    assert value(found, "token_f1_without_o", w) == pytest.approx(each[1:].mean())
    first = np.array([1.0, 0, 0])
    assert value(found, "entity_recall", first) == 0.5
    assert value(found, "entity_precision", first) == 0.5


def test_words_beyond_the_prediction_are_wrong_and_unknown_ones_ignored():
    gold = [tags("B-X", "O", "O"), np.array([1, -100])]
    found = metrics.tagging([tags("B-X"), tags("B-X", "B-Y")], gold, TAGS)
    assert value(found, "token_accuracy", np.ones(2)) == pytest.approx(2 / 4)
    assert value(found, "entity_f1", np.ones(2)) == 1


def test_plain_tags_have_no_entities():
    found = metrics.tagging([np.array([0, 1])], [np.array([0, 0])], ["noun", "verb"])
    assert set(found) == {"token_accuracy", "token_f1"}


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 5))
def test_report_equals_scikit_learn(seed, classes):
    scores, y, _ = classes_case(seed, 25, classes, ties=False)
    y[y == 0] = 1  # a class that may occur in predictions only, or not at all
    names = [f"class {k}" for k in range(classes)]
    found = metrics.classification_report(y, scores, names)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wanted = sk.classification_report(
            np.array(names)[y], np.array(names)[scores.argmax(1)], output_dict=True, zero_division=0
        )
    assert list(found["classes"]) == [k for k in wanted if k.startswith("class")]
    pairs = [(found["classes"][k], wanted[k]) for k in found["classes"]]
    pairs += [(found[k], wanted[f"{k} avg"]) for k in ("macro", "weighted")]
    for ours, theirs in pairs:
        assert ours["f1"] == pytest.approx(theirs["f1-score"], abs=1e-12)
        for key in ("precision", "recall", "support"):
            assert ours[key] == pytest.approx(theirs[key], abs=1e-12)
    assert found["micro"]["f1"] == pytest.approx(wanted["accuracy"], abs=1e-12)


def test_report_of_several_labels_equals_scikit_learn():
    rng = np.random.default_rng(0)
    y, scores = rng.integers(0, 2, (30, 3)), rng.random((30, 3))
    found = metrics.classification_report(y, scores, ["a", "b", "c"])
    wanted = sk.classification_report(
        y, scores >= 0.5, target_names=["a", "b", "c"], output_dict=True, zero_division=0
    )
    for name in "abc":
        assert found["classes"][name]["f1"] == pytest.approx(wanted[name]["f1-score"], abs=1e-12)
    for name in ("micro", "macro", "weighted"):
        assert found[name]["precision"] == pytest.approx(wanted[f"{name} avg"]["precision"])


def test_report_as_text_shows_every_figure_to_the_digit():
    scores = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7]])
    report = metrics.classification_report(np.array([0, 1, 1]), scores, ["no", "a longer name"])
    lines = metrics.report_text(report).splitlines()
    assert [line.split()[-1] for line in lines[1:]] == ["1", "2", "3", "3", "3"]
    assert lines[2].split()[-4:] == ["1.0000", "0.5000", "0.6667", "2"]
    assert len({len(line) for line in lines}) == 1


@pytest.mark.parametrize("bad", [[np.nan, np.nan], [np.nan, 0.2], [0.2, np.nan], [np.inf, 0.0]])
def test_probabilities_that_are_none_are_no_class(bad: list[float]) -> None:
    scores, targets = np.array([[0.9, 0.1], bad, bad]), np.array([0, 0, 1])
    assert likeliest(scores).tolist() == [0, -1, -1]
    found = metrics.classification(scores, targets)
    assert value(found, "accuracy", np.ones(3)) == pytest.approx(1 / 3)
    report = metrics.classification_report(targets, scores, ["a", "b"])
    assert report["classes"]["a"]["recall"] == 0.5 and report["classes"]["b"]["recall"] == 0
    assert sum(one.rows for one in reliability(scores, targets)) == 1
