"""Labels in lists and in text, none as against unknown, losses and predictions."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from polymodal.base.errors import UserError
from polymodal.contract.batch import Field
from polymodal.prepared.targets import prepared
from polymodal.tasks.multilabel import Multilabel


def fitted(cells, **options) -> Multilabel:
    task = Multilabel("y", **options)
    task.fit(cells)
    return task


LISTS = [["a", "b"], ["b"], [], ["c", "a"]]


@pytest.mark.parametrize(
    "cells",
    [
        LISTS,
        ["a;b", "b", [], "c; a"],
        ["a|b", "b", "[]", "c|a"],
        ["a,b", "b", [], "c,a"],
        ['["a", "b"]', '["b"]', "[]", '["c", "a"]'],
        [np.array(["a", "b"], object), ("b",), [], {"c", "a"}],
    ],
)
def test_every_way_to_write_a_set(cells):
    task = fitted(cells)
    assert task.classes == ["a", "b", "c"]
    wanted = [[1, 1, 0], [0, 1, 0], [0, 0, 0], [1, 0, 1]]
    assert np.stack(task.encode(cells)).tolist() == wanted


def test_a_comma_may_stand_inside_a_label():
    assert fitted(["red, dark;blue", "blue"]).classes == ["blue", "red, dark"]
    assert fitted(["a;b,c", "b"], separator=",").classes == ["a;b", "b", "c"]
    # One stray mark is part of a name; the columns that are read follow the same rule.
    assert fitted(["a,b", "b,c", "c,a", "d;e,a"]).classes == ["a", "b", "c", "d;e"]


def test_unknown_is_not_none():
    task = fitted([["a"], ["b"], None, "", []])
    assert task.rows == 3
    encoded = task.encode([None, [], float("nan"), " "])
    assert [None if row is None else row.tolist() for row in encoded] == [None, [0, 0], None, None]


def field(task, cells) -> Field:
    """The cells as a batch has them."""
    return prepared(task, cells).gather(np.arange(len(cells)))


def test_loss_is_the_mean_over_known_labels():
    task = fitted(LISTS)
    target = field(task, [["a"], None, ["b", "c"]])
    logits = torch.randn(3, 3, generator=torch.Generator().manual_seed(0))
    wanted = F.binary_cross_entropy_with_logits(logits[[0, 2]], target.data[[0, 2]])
    assert task.loss_of(logits, target).item() == pytest.approx(wanted.item())
    logits.requires_grad_()
    none = task.loss_of(logits, Field(target.data, None, torch.zeros(3) > 0))
    none.backward()
    assert none.item() == 0 and (logits.grad == 0).all()


def test_bias_is_the_frequency():
    task = fitted([["a"]] * 50 + [["b"]] * 50 + [["a", "b"]] * 100)
    assert task.bias().sigmoid().tolist() == pytest.approx([0.75, 0.75], abs=0.01)
    always = fitted([["a"], ["a", "b"]])
    assert always.bias().isfinite().all()


def test_predictions_read_back_as_they_were_written():
    scores = np.array([[0.9, 0.5, 0.1], [0.1, 0.1, 0.49]])
    for cells, texts in ((LISTS, ['["a", "b"]', "[]"]), (["a|b", "b|c"], ["a|b", ""])):
        task = fitted(cells)
        columns = task.decode(scores)
        assert columns["y"] == texts
        assert columns["y=b"] == [0.5, 0.1]
        assert task.encode(columns["y"])[0].tolist() == [1, 1, 0]


def test_state_survives_json():
    task = fitted(["a;b", "b"])
    again = Multilabel("y")
    again.state = json.loads(json.dumps(task.state))
    assert again.encode(["b;a"])[0].tolist() == [1, 1] and again.size == 2
    assert torch.equal(again.bias(), task.bias())


def test_criterion_is_the_log_loss_of_each_label():
    task = fitted(LISTS)
    scores = [np.array([0.9, 0.2, 0.4])]
    targets = task.encode([["a"]])
    wanted = -np.log([0.9, 0.8, 0.6]).mean()
    assert task.criterion(scores, targets) == pytest.approx(wanted)
    found = task.metrics(scores, targets)
    assert task.primary in found
    assert found["micro_f1"].statistic(np.ones((1, 1)))[0] == 1


def test_errors_say_what_is_wrong():
    with pytest.raises(UserError, match="label 'z', which no training row had"):
        fitted(LISTS).encode([["a", "z"]])
    for cells in ([["a"], ["a"]], [[], []], [None]):
        with pytest.raises(UserError, match="nothing to learn"):
            fitted(cells)
    with pytest.raises(UserError, match="several values"):
        fitted([[["a"]], ["b"]])


@pytest.mark.parametrize("empty", [None, "", "  ", float("nan")])
def test_an_empty_cell_is_a_row_without_labels_where_that_is_said(empty: object) -> None:
    cells = ["wool", empty, "rain;wool", "[]"]
    unknown, none = Multilabel("y"), Multilabel("y", empty_is_none=True)
    for task in (unknown, none):
        task.fit(cells)
        assert task.classes == ["rain", "wool"]
    told = [None if one is None else one.tolist() for one in unknown.encode(cells)]
    assert told == [[0, 1], None, [1, 1], [0, 0]]
    assert [one.tolist() for one in none.encode(cells)] == [[0, 1], [0, 0], [1, 1], [0, 0]]
    assert (unknown.rows, none.rows) == (3, 4)
    ((severity, line),) = unknown.remarks()
    assert severity == "warning" and "1 of 4 rows" in line and "empty_is_none: true" in line
    assert none.remarks() == [] and not none.is_unseen(empty)


def test_classes_of_rows_before_any_fit() -> None:
    found = Multilabel.labels_of(["b;a", None, "a", "[]"])
    assert found == [["b", "a"], [], ["a"], []]


def test_texts_that_are_taken_for_labels_are_said_to_be_texts() -> None:
    texts = [[f"a dog runs over field {i}", f"one dog on a field {i}"] for i in range(5)]
    task = Multilabel("caption")
    task.fit(texts)
    ((severity, line),) = task.remarks()
    assert severity == "warning" and "`kind caption=text`" in line and "10 labels" in line
    # Long ones that come back may be labels, and short ones are.
    task.fit([*texts, *texts])
    assert [severity for severity, _ in task.remarks()] == ["info"]
    task.fit([["a dog", "a cat"], ["a dog"], ["a cow"]])
    assert task.remarks() == []
