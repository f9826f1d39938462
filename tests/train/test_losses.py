"""What a modality reaches by itself: the right rows, the right ratio."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from polymodal.contract.batch import Batch, Field, Outputs
from polymodal.metrics.contribution import discrepancy_ratio
from polymodal.tasks.classify import Classify
from polymodal.tasks.multilabel import Multilabel
from polymodal.tasks.regress import Regress
from polymodal.tasks.tag import Tag
from polymodal.train.losses import alone

CLASS = Classify("label")
CLASS.fit(["x", "y", "z", "x"])
NUMBER = Regress("level")
NUMBER.fit([1.0, 2.0, 4.0])
SETS = Multilabel("set")
SETS.fit([["p"], ["p", "q"]])
TAGS = Tag("tags")
TAGS.fit([["O", "B-x"], ["O"]])


def given(data: Tensor) -> Field:
    """A target of which NaN, or what is below 0 where that is no number, is not known."""
    if data.is_floating_point() and data.dim() == 1:
        return Field(data.nan_to_num(0), None, ~data.isnan())
    known = data >= 0
    if data.dim() == 1:
        return Field(data, None, known)
    return Field(data, None if data.is_floating_point() else known, known.any(1))


def batch(targets: dict[str, Tensor], **present: list[bool]) -> Batch:
    fields = {name: given(data) for name, data in targets.items()}
    rows = len(next(iter(present.values())))
    inputs = {n: Field(torch.zeros(rows, 1), None, torch.tensor(p)) for n, p in present.items()}
    return Batch(inputs, fields, torch.arange(rows))


def logits(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_the_ratio_is_that_of_the_evaluation_and_the_loss_the_task_s() -> None:
    target = torch.tensor([0, 2, 1, 0])
    own = {name: logits(i, 4, 3) for i, name in enumerate("abc")}
    everywhere = dict.fromkeys("abc", [True] * 4)
    outputs = {name: Outputs({"label": value}) for name, value in own.items()}
    found = alone(outputs, batch({"label": target}, **everywhere), {"label": CLASS})
    expected = discrepancy_ratio({n: v.numpy() for n, v in own.items()}, target.numpy())
    for name, value in own.items():
        assert found[name].ratio == pytest.approx(expected[name], rel=1e-5)
        torch.testing.assert_close(found[name].value, CLASS.loss_of(value, given(target)))


def test_only_rows_with_the_modality_and_a_target_count() -> None:
    target = torch.tensor([0, 2, -100, 1])
    own = {"a": logits(0, 4, 3), "b": logits(1, 4, 3), "c": logits(2, 4, 3)}
    outputs = {name: Outputs({"label": value}) for name, value in own.items()}
    seen = batch(
        {"label": target},
        a=[True, True, True, False],
        b=[True, False, True, True],
        c=[False, False, True, False],  # in no row with a target
    )
    found = alone(outputs, seen, {"label": CLASS})
    assert list(found) == ["a", "b"]
    p = {name: value.softmax(1) for name, value in own.items()}
    a = (p["a"][0, 0] + p["a"][1, 2]) / 2
    b = (p["b"][0, 0] + p["b"][3, 1]) / 2
    assert found["a"].ratio == pytest.approx(float(a / b), rel=1e-5)
    assert found["b"].ratio == pytest.approx(float(b / a), rel=1e-5)
    torch.testing.assert_close(found["a"].value, CLASS.loss_of(own["a"][:2], given(target[:2])))


def test_a_modality_without_another_has_no_ratio() -> None:
    seen = batch({"label": torch.tensor([0, 1])}, a=[True, True], b=[False, False])
    outputs = {name: Outputs({"label": logits(0, 2, 3)}) for name in "ab"}
    found = alone(outputs, seen, {"label": CLASS})
    assert list(found) == ["a"] and math.isnan(found["a"].ratio)


def test_every_kind_of_target_counts_alike() -> None:
    """exp(-loss of a row), averaged over the rows and then the targets; losses are added."""
    targets = {
        "label": torch.tensor([0, -100, 1]),
        "level": torch.tensor([0.5, float("nan"), -1.0]),
        "set": torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]]),
        "tags": torch.tensor([[0, 1], [1, -100], [-100, -100]]),
    }
    tasks = {"label": CLASS, "level": NUMBER, "set": SETS, "tags": TAGS}
    shapes = {"label": (3, 3), "level": (3, 1), "set": (3, 2), "tags": (3, 2, 2)}
    known = {"label": [0, 2], "level": [0, 2], "set": [0, 1], "tags": [0, 1]}
    own = {
        name: {t: logits(9 * i, *shape) for t, shape in shapes.items()}
        for i, name in enumerate("ab")
    }
    seen = batch(targets, a=[True] * 3, b=[True] * 3)
    found = alone({n: Outputs(v) for n, v in own.items()}, seen, tasks)
    right = {
        name: np.mean(
            [
                np.mean(
                    [
                        math.exp(
                            -float(o.loss_of(values[t][i : i + 1], given(targets[t][i : i + 1])))
                        )
                        for i in known[t]
                    ]
                )
                for t, o in tasks.items()
            ]
        )
        for name, values in own.items()
    }
    assert found["a"].ratio == pytest.approx(right["a"] / right["b"], rel=1e-5)
    total = sum(o.loss_of(own["b"][t], given(targets[t])) for t, o in tasks.items())
    torch.testing.assert_close(found["b"].value, total)


def test_one_decision_stands_for_all_words_of_an_absent_text() -> None:
    """Of an absent text one position is left; what it says is no guess at the first word alone."""
    target = torch.tensor([[0, 1, 1], [1, 0, -100]])
    one = logits(0, 2, 1, 2)
    seen = batch({"tags": target}, a=[True, True], b=[True, True])
    outputs = {"a": Outputs({"tags": one}), "b": Outputs({"tags": logits(1, 2, 3, 2)})}
    found = alone(outputs, seen, {"tags": TAGS})
    torch.testing.assert_close(found["a"].value, TAGS.loss_of(one.expand(2, 3, 2), given(target)))
    outputs["a"] = Outputs({"tags": one.expand(2, 3, 2)})
    assert found["a"].ratio == pytest.approx(alone(outputs, seen, {"tags": TAGS})["a"].ratio)
