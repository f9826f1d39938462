"""Slices of hand-made rows whose every figure is known."""

from __future__ import annotations

import json

import numpy as np
import pytest

from polymodal.contract.task import Judged
from polymodal.evaluation.slices import EXAMPLES, describe, slices
from polymodal.tasks.classify import Classify
from polymodal.tasks.multilabel import Multilabel
from polymodal.tasks.regress import Regress
from polymodal.tasks.tag import Tag


def model(answers: list[int], truth: list[int], loss: list[float] | None = None) -> Judged:
    right = np.array(answers) == np.array(truth)
    return Judged(np.array(answers), right, np.array(loss or np.where(right, 0.1, 2.0), float))


TRUTH = [0, 0, 1, 1, 1, 0]
MODELS = {
    "fused": model([0, 1, 1, 1, 0, 1], TRUTH, [0.1, 3.0, 0.2, 0.1, 4.0, 2.0]),
    "audio": model([1, 0, 1, 0, 0, 1], TRUTH, [1.0, 0.1, 0.1, 5.0, 3.0, 2.0]),
    "image": model([1, 1, 0, 1, 1, 1], TRUTH),
}


def test_rows_of_every_slice_the_most_telling_first() -> None:
    found = slices(MODELS, "audio")
    assert found["disagree"]["examples"] == [4, 1, 2, 3]  # by the fused model's loss
    assert found["harm"]["examples"] == [4, 1]  # row 5: nobody is right
    assert found["help"]["examples"] == [3, 0]  # by the loss of audio, whom it was helped over
    assert found["worst"]["examples"] == [4, 1, 5, 2, 0, 3]
    assert [one["rows"] for one in found.values()] == [4, 2, 2, 6]


def test_accuracy_within_a_slice() -> None:
    found = slices(MODELS, "audio")["disagree"]["scores"]
    assert found["fused"]["value"] == 0.5
    assert found["audio"]["value"] == 0.5
    assert 0 <= found["fused"]["low"] < 0.5 < found["fused"]["high"] <= 1
    assert slices(MODELS, "audio")["harm"]["scores"]["fused"]["value"] == 0


def test_help_is_over_the_best_single_alone() -> None:
    assert slices(MODELS, "image")["help"]["examples"] == [0, 2]


def test_intervals_draw_whole_clusters() -> None:
    truth = np.zeros(200, int)
    answers = np.repeat(np.arange(20) % 2, 10)
    models = {
        "fused": Judged(answers, answers == truth, np.ones(200)),
        "audio": Judged(1 - answers, answers != truth, np.ones(200)),
    }
    models["image"] = Judged(answers, answers == truth, np.ones(200))

    def width(clusters: np.ndarray | None) -> float:
        span = slices(models, "audio", clusters)["disagree"]["scores"]["fused"]
        return float(span["high"] - span["low"])

    assert width(np.repeat(np.arange(20), 10)) > 2 * width(None)


def test_a_slice_without_rows_has_no_scores() -> None:
    right = model(TRUTH, TRUTH)
    found = slices({"fused": right, "audio": MODELS["audio"], "image": MODELS["audio"]}, "audio")
    for name in ("disagree", "harm"):
        assert found[name] == {"rows": 0, "scores": {}, "examples": []}


def test_one_modality_has_its_worst_rows_only() -> None:
    many = Judged(np.zeros(100, int), np.ones(100, bool), np.arange(100.0))
    found = slices({"fused": many}, None)
    assert list(found) == ["worst"]
    assert found["worst"]["examples"] == list(range(99, 99 - EXAMPLES, -1))


def test_numbers_within_half_a_standard_deviation_are_right() -> None:
    truth = [0.0, 10.0, 20.0, 30.0]
    task = Regress("y")
    task.fit(truth)
    reach = 0.5 * np.std(truth)
    targets = task.encode(truth)
    fused = [np.array([v]) for v in (0.0, 10 + 0.9 * reach, 20 + 1.1 * reach, 30.0)]
    audio = [np.array([v]) for v in (0.9 * reach, 10.0, 20.0, 30 - 1.2 * reach)]
    image = [np.array([v]) for v in (0.0, 10 + 1.1 * reach, 20.0, 30.0)]
    scores = {"fused": fused, "audio": audio, "image": image}
    found = describe(task, scores, targets, np.array([7, 8, 9, 3]), "audio")
    assert found["metric"] == "rmse"
    assert found["tolerance"] == pytest.approx(reach)
    rows = {k: [e["row"] for e in one["examples"]] for k, one in found["slices"].items()}
    assert rows["harm"] == [9]
    assert rows["help"] == [3]
    assert sorted(rows["disagree"]) == [3, 8]
    errors = np.array([0, 0.9 * reach, 1.1 * reach, 0])
    value = found["slices"]["worst"]["scores"]["fused"]["value"]
    assert value == pytest.approx(np.sqrt((errors**2).mean()), rel=1e-5)
    worst = found["slices"]["worst"]["examples"][0]
    assert worst["true"] == pytest.approx(20)
    assert worst["answers"]["fused"] == pytest.approx(20 + 1.1 * reach)
    assert worst["right"] == ["audio", "image"]


def test_classes_are_named_and_their_loss_is_finite() -> None:
    task = Classify("y")
    task.fit(["cat", "dog", "dog"])
    p = [np.array([1.0, 0.0], np.float32), np.array([0.25, 0.75], np.float32)]
    found = describe(task, {"fused": p}, task.encode(["dog", "dog"]), np.arange(2), None)
    first, second = found["slices"]["worst"]["examples"]
    assert (first["true"], first["answers"], first["right"]) == ("dog", {"fused": "cat"}, [])
    assert np.isfinite(first["loss"])
    assert second["loss"] == pytest.approx(-np.log(0.75))
    assert found["tolerance"] is None


def test_a_set_is_right_as_a_whole() -> None:
    task = Multilabel("y")
    task.fit([["a"], ["b"], ["a", "b"]])
    targets = task.encode([["a"], ["a", "b"]])
    found = task.judged([np.array([0.9, 0.2]), np.array([0.9, 0.2])], targets)
    assert found.right.tolist() == [True, False]
    assert found.loss == pytest.approx([-np.log([0.9, 0.8]).mean(), -np.log([0.9, 0.2]).mean()])
    assert json.dumps(describe(task, {"fused": targets}, targets, np.arange(2), None))


def test_a_text_is_right_if_all_its_known_tags_are() -> None:
    task = Tag("y")
    task.fit([["O", "B-X", "I-X"]])
    codes = {name: i for i, name in enumerate(task.state["classes"])}

    def sure(*tags: str) -> np.ndarray:
        return np.eye(3)[[codes[tag] for tag in tags]] * 0.98 + 0.01

    targets = task.encode([["O", "B-X"], ["O", None], ["B-X", "I-X", "O"]])
    scores = [sure("O", "B-X"), sure("O", "B-X"), sure("B-X", "I-X")]
    found = task.judged(scores, targets)
    assert found.right.tolist() == [True, True, False]  # the last word was never seen
    assert found.loss[0] == pytest.approx(-np.log(0.99))
    assert found.loss[2] > 5
    shown = describe(task, {"fused": scores}, targets, np.arange(3), None)
    truths = {e["row"]: json.loads(e["true"]) for e in shown["slices"]["worst"]["examples"]}
    assert truths == {0: ["O", "B-X"], 1: ["O", None], 2: ["B-X", "I-X", "O"]}


def test_what_is_empty_by_definition_is_no_slice() -> None:
    """A fused model that is its only rival can do no harm; one rival cannot disagree."""
    own = {"fused": MODELS["audio"], "audio": MODELS["audio"]}
    assert list(slices(own, "audio")) == ["worst"]
    assert list(slices({**own, "image": MODELS["image"]}, "audio")) == ["disagree", "harm", "worst"]
    assert list(slices({**own, "image": MODELS["image"]}, "image")) == [
        "disagree",
        "harm",
        "help",
        "worst",
    ]
    assert list(slices({"fused": MODELS["fused"], "audio": MODELS["audio"]}, "audio")) == [
        "harm",
        "help",
        "worst",
    ]
