"""Targets blended of a teacher's answers and labels: the loss is the blend of the losses."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from polymodal.base.errors import UserError
from polymodal.contract.batch import Field
from polymodal.tasks import _labels
from polymodal.tasks.classify import Classify
from polymodal.tasks.multilabel import Multilabel
from polymodal.tasks.regress import Regress
from polymodal.tasks.tag import Tag

ROWS = 12


def field(data: np.ndarray) -> Field:
    return Field(torch.as_tensor(data), None, torch.ones(len(data), dtype=torch.bool))


def losses(task, logits, share: float, answers, cells) -> list[float]:
    """Of the blend, of the teacher's answers alone and of the labels alone."""
    targets = task.encode(cells)
    parts = [task.blended(task, answers, targets, one) for one in (share, 1.0)]
    assert all(part.dtype == np.float32 for part in parts)
    wanted = [*map(field, parts), field(np.stack(targets))]
    return [float(task.loss_of(logits, one)) for one in wanted]


def test_cross_entropy_is_linear_in_its_target():
    task = Classify("y")
    cells = ["a", "b", "b", "c"] * 3
    task.fit(cells)
    rng = np.random.default_rng(0)
    logits = torch.from_numpy(rng.normal(size=(ROWS, 3)))
    blend, told, true = losses(task, logits, 0.7, list(rng.dirichlet(np.ones(3), ROWS)), cells)
    assert blend == pytest.approx(0.7 * told + 0.3 * true)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("weights", [None, torch.tensor([0.5, 1.0, 3.0])])
def test_certain_probabilities_are_labels(weights, smoothing):
    rng = torch.Generator().manual_seed(0)
    logits, codes = torch.randn(6, 3, generator=rng), torch.tensor([0, 1, 2, 2, 1, 0])
    known = torch.tensor([True, True, True, True, False, True])
    certain = torch.nn.functional.one_hot(codes, 3).float()
    by_label = _labels.cross_entropy(logits, codes, known, weights, smoothing)
    by_share = _labels.cross_entropy(logits, certain, known, weights, smoothing)
    torch.testing.assert_close(by_share, by_label)
    assert float(_labels.cross_entropy(logits, certain, known & False, weights)) == 0


def test_the_teachers_classes_are_put_in_order_and_must_be_known():
    task, theirs = Classify("y"), Classify("y")
    task.fit(["a", "c", "a"])
    theirs.fit(["c", "b", "a"])
    answer = np.array([0.6, 0.2, 0.2])  # of a, b, c
    (found,) = task.blended(theirs, [answer], task.encode(["c"]), 1.0)
    np.testing.assert_allclose(found, [0.75, 0.25])
    # Sure of what is no class here: the label alone is learned.
    (found,) = task.blended(theirs, [np.array([0.0, 1.0, 0.0])], task.encode(["c"]), 0.9)
    np.testing.assert_allclose(found, [0, 1])
    with pytest.raises(UserError, match="never seen 'b'"):
        theirs.blended(task, [np.array([0.5, 0.5])], theirs.encode(["a"]), 1.0)


def test_sets_of_labels_are_blended_label_by_label():
    task = Multilabel("y")
    cells = [["a"], ["a", "b"], []] * 4
    task.fit(cells)
    rng = np.random.default_rng(0)
    logits = torch.from_numpy(rng.normal(size=(ROWS, 2)))
    blend, told, true = losses(task, logits, 0.6, list(rng.uniform(size=(ROWS, 2))), cells)
    assert blend == pytest.approx(0.6 * told + 0.4 * true)


def test_a_number_is_pulled_as_both_squared_errors_pull_it():
    task = Regress("y")
    cells = list(np.arange(ROWS, dtype=float) * 3)
    task.fit(cells)
    answers = [np.array([cell + 1]) for cell in cells]
    logits = torch.zeros(ROWS, 1, requires_grad=True)

    def gradient(share: float) -> torch.Tensor:
        target = field(task.blended(task, answers, task.encode(cells), share))
        (found,) = torch.autograd.grad(task.loss_of(logits, target), logits)
        return found

    torch.testing.assert_close(gradient(0.25), 0.25 * gradient(1.0) + 0.75 * gradient(0.0))


def test_nothing_is_blended_of_tags():
    assert Tag("y").blended(Tag("y"), [], [], 1.0) is None
