"""Jacobian descent: the aggregation is the library's, each parameter gets the rows it has."""

from __future__ import annotations

import importlib.util
import math
from typing import Any

import pytest
import torch
from torch import nn
from torchjd import aggregation

from polymodal.base.errors import MissingExtra, UserError
from polymodal.contract.balance import JOINT as ALL
from polymodal.contract.balance import Loss, Part
from polymodal.train.balance.jacobian_descent import AGGREGATORS, RADIUS, JacobianDescent

# Gradients of the joint loss and of the encoder's own, which conflict: their product is -1.
JOINT, OWN = torch.tensor([1.0, 0.0]), torch.tensor([-1.0, 1.0])
SHARED = torch.tensor([[3.0, 1.0, 0.0], [-1.0, 1.0, 0.0], [0.0, -2.0, 5.0]])

# So that equal rows, of which there are two, give that row.
SCALES = {"PCGrad": 2.0, "CAGrad": 1.4}


def step(aggregator: str, joint: torch.Tensor = JOINT) -> tuple[list[Any], dict[str, float]]:
    """Gradients of encoder a, encoder b (without a loss of its own) and the head; numbers."""
    a, b = nn.Parameter(torch.zeros(2, 1)), nn.Parameter(torch.zeros(2))
    head, unused = nn.Parameter(torch.zeros(3)), nn.Parameter(torch.zeros(2))
    total = a[:, 0] @ joint + b @ JOINT + head @ SHARED[0]
    losses = {ALL: Loss(total), "a": Loss(a[:, 0] @ OWN + head @ SHARED[1], 1.0)}
    parts = {
        "a": Part([a], (ALL, "a")),
        "b": Part([b], (ALL, "b")),
        ALL: Part([head, unused], (ALL, "a", "b")),
    }
    numbers = JacobianDescent(aggregator=aggregator).backward(losses, parts)
    return [a.grad, b.grad, head.grad, unused.grad], numbers


def test_pcgrad_by_hand() -> None:
    # a: [1, 0] + 1/2 [-1, 1] = [.5, .5], and [-1, 1] + [1, 0] = [0, 1]; of both the mean.
    # The head: [3, 1, 0] + 2/2 [-1, 1, 0] = [2, 2, 0], and [-1, 1, 0] + 2/10 [3, 1, 0].
    (a, b, head, unused), numbers = step("PCGrad")
    torch.testing.assert_close(a, torch.tensor([[0.25], [0.75]]))
    torch.testing.assert_close(b, JOINT)
    torch.testing.assert_close(head, torch.tensor([0.8, 1.6, 0.0]))
    assert torch.equal(unused, torch.zeros(2))
    assert numbers == {"conflict/a": pytest.approx(-1 / math.sqrt(2))}


def test_mgda_by_hand() -> None:
    # The shortest point between [1, 0] and [-1, 1] is 3/5 and 2/5 of the way.
    (a, *_), _ = step("MGDA")
    torch.testing.assert_close(a, torch.tensor([[0.2], [0.4]]))


@pytest.mark.parametrize("aggregator", AGGREGATORS)
def test_the_aggregation_is_the_library_s(aggregator: str) -> None:
    (a, _, head, _), _ = step(aggregator)
    options = {"c": RADIUS} if aggregator == "CAGrad" else {}
    library, scale = getattr(aggregation, aggregator)(**options), SCALES.get(aggregator, 1.0)
    torch.testing.assert_close(a[:, 0], library(torch.stack([JOINT, OWN])) / scale)
    torch.testing.assert_close(head, library(SHARED[:2]) / scale)


@pytest.mark.parametrize("aggregator", AGGREGATORS)
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_not_finite_is_left_to_the_loop(aggregator: str, value: float) -> None:
    (a, b, *_), _ = step(aggregator, JOINT * value)
    assert not a.isfinite().all()
    torch.testing.assert_close(b, JOINT)


def test_an_unknown_aggregator_and_a_missing_package(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"did you mean 'MGDA'"):
        JacobianDescent(aggregator="MDGA")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"pip install 'polymodal\[torchjd\]'"):
        JacobianDescent()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name == "torchjd" or None)
    with pytest.raises(MissingExtra, match=r"pip install 'polymodal\[cagrad\]'"):
        JacobianDescent(aggregator="CAGrad")
