"""What every rule must answer: equal gradients, known weights, weights on losses or gradients."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from polymodal.base import lookup
from polymodal.base.errors import UserError
from polymodal.contract.balance import JOINT, Balance, Loss, Part
from polymodal.train.balance.gradnorm import Gradnorm
from polymodal.train.balance.jacobian_descent import AGGREGATORS
from polymodal.train.balance.uncertainty import Uncertainty

RULES: list[dict[str, Any]] = [
    {"name": name, "over": "tasks"}
    for name in lookup.names("train/balance")
    if "over" in lookup.options(lookup.find("train/balance", name))
]
RULES += [{"name": "jacobian_descent", "over": "tasks", "aggregator": a} for a in AGGREGATORS]


def built(spec: dict[str, Any], names: list[str]) -> Balance:
    rule = lookup.build("train/balance", spec)
    rule.expect(names)
    return rule


def shared(rule: Balance, rows: torch.Tensor, sizes: tuple[float, ...] = ()) -> torch.Tensor:
    """The gradient that a shared parameter gets from losses of these gradients (and sizes)."""
    p = nn.Parameter(torch.zeros(rows.shape[1]))
    names = [chr(97 + i) for i in range(len(rows))]
    values = [row @ p + size for row, size in zip(rows, sizes or (1.0,) * len(rows), strict=True)]
    losses = {name: Loss(value) for name, value in zip(names, values, strict=True)}
    rule.backward(losses, {JOINT: Part([p], names)})
    assert p.grad is not None
    return p.grad


@pytest.mark.parametrize("spec", RULES, ids=str)
def test_of_two_equal_gradients_every_rule_makes_that_gradient(spec: dict[str, Any]) -> None:
    row = torch.tensor([1.0, -2.0, 0.5])
    found = shared(built(spec, ["a", "b"]), torch.stack([row, row]))
    torch.testing.assert_close(found, row, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("aggregator", "rows", "expected"),
    [
        ("MGDA", [[1.0, 0.0], [0.0, 1.0]], [0.5, 0.5]),
        ("PCGrad", [[1.0, 2.0], [-1.0, -2.0]], [0.0, 0.0]),
        ("Mean", [[1.0, 0.0], [0.0, 3.0]], [0.5, 1.5]),
        # Equal projections on both unit rows, weights that sum to 1: 3/4 and 1/4 of them.
        ("IMTLG", [[1.0, 0.0], [0.0, 3.0]], [0.75, 0.75]),
        # .4 of the mean's length towards the shortest combination, which is the mean here.
        ("CAGrad", [[1.0, 0.0], [0.0, 1.0]], [0.5, 0.5]),
    ],
)
def test_known_answers(aggregator: str, rows: Any, expected: Any) -> None:
    rule = built(
        {"name": "jacobian_descent", "over": "tasks", "aggregator": aggregator}, ["a", "b"]
    )
    torch.testing.assert_close(
        shared(rule, torch.tensor(rows)), torch.tensor(expected), rtol=1e-3, atol=1e-3
    )


@pytest.mark.parametrize("weights", [{}, {"a": 3.0}, {"a": 0.25, "b": 0.75}])
def test_weights_on_losses_are_weights_on_gradients(weights: dict[str, float]) -> None:
    """Interpolation and averaging of gradients are fixed weights."""
    rows = torch.tensor([[1.0, -2.0], [4.0, 0.5]])
    found = shared(built({"name": "fixed", "weights": weights}, ["a", "b"]), rows)
    own = torch.tensor([weights.get("a", 1.0), weights.get("b", 1.0)])
    torch.testing.assert_close(found, (own / own.sum()) @ rows)
    if not weights:
        mean = {"name": "jacobian_descent", "over": "tasks", "aggregator": "Mean"}
        torch.testing.assert_close(found, shared(built(mean, ["a", "b"]), rows))


def test_uncertainty_by_hand_and_where_it_comes_to_rest() -> None:
    rule = built({"name": "uncertainty"}, ["a", "b"])
    assert isinstance(rule, Uncertainty)
    rows = torch.eye(2)
    torch.testing.assert_close(shared(rule, rows, (2.0, 8.0)), torch.tensor([0.5, 0.5]))
    # d/ds of 1/2 exp(-2 s) L + s at 0 is 1 - L.
    torch.testing.assert_close(rule.log_sigma.grad, torch.tensor([-1.0, -7.0]))
    made = torch.optim.Adam(rule.parameters(), 0.05)
    for _ in range(400):
        made.zero_grad()
        shared(rule, rows, (2.0, 8.0))
        made.step()
    # exp(2 s) = L, so that the weights are 1 / (2 L).
    expected = torch.tensor([2.0, 8.0]).log() / 2
    torch.testing.assert_close(rule.log_sigma.detach(), expected, rtol=0, atol=1e-3)
    torch.testing.assert_close(shared(rule, rows, (2.0, 8.0)), torch.tensor([0.25, 0.0625]))


def test_gradnorm_brings_norms_together_and_gives_more_to_what_is_behind() -> None:
    rows = torch.tensor([[3.0, 0.0], [0.0, 1.0]])
    for alpha, slower in ((0.0, (1.0, 1.0)), (1.0, (1.0, 0.5))):
        rule = built({"name": "gradnorm", "alpha": alpha}, ["a", "b"])
        assert isinstance(rule, Gradnorm)
        torch.testing.assert_close(shared(rule, rows, (1.0, 1.0)), torch.tensor([1.5, 0.5]))
        made = torch.optim.SGD(rule.parameters(), 1e-3)
        for _ in range(600):
            made.zero_grad()
            shared(rule, rows, slower)
            made.step()
        weights = rule.weights.detach() / rule.weights.detach().sum()
        # Norms 3 w and 1 - w are to stand as the paces do: as 1 to 1, or as 2 to 1.
        ratio = (slower[0] / slower[1]) ** alpha
        assert float(3 * weights[0] / weights[1]) == pytest.approx(ratio, rel=0.03)


def test_a_batch_may_lack_losses() -> None:
    for spec in RULES:
        rule, p = built(spec, ["a", "b"]), nn.Parameter(torch.zeros(2))
        rule.backward({"b": Loss(p @ torch.tensor([1.0, 2.0]) + 1)}, {JOINT: Part([p], ["a", "b"])})
        assert p.grad is not None and p.grad[1] == 2 * p.grad[0] > 0


def test_losses_that_share_nothing_that_learns_are_not_balanced() -> None:
    """As of two targets' heads on what a parent has learned, all of which is frozen."""
    for spec in RULES:
        rule, heads = built(spec, ["a", "b"]), [nn.Parameter(torch.zeros(2)) for _ in range(2)]
        losses = {n: Loss(p.sum() + 1) for n, p in zip("ab", heads, strict=True)}
        own = {n: Part([p], (n,)) for n, p in zip("ab", heads, strict=True)}
        rule.backward(losses, {**own, JOINT: Part([], ("a", "b"))})
        for p in heads:
            assert p.grad is not None and p.grad[0] == p.grad[1] > 0
        assert all(w.grad is None or w.grad.isfinite().all() for w in rule.parameters())


def test_what_cannot_be_balanced_is_one_clear_error() -> None:
    with pytest.raises(UserError, match="did you mean 'tasks'"):
        lookup.build("train/balance", {"name": "fixed", "over": "task"})
    with pytest.raises(UserError, match="did you mean 'label'"):
        built({"name": "fixed", "weights": {"lable": 1.0}}, ["label", "size"])
    with pytest.raises(UserError, match="a weight that is none"):
        lookup.build("train/balance", {"name": "fixed", "weights": {"a": -1.0}})
    with pytest.raises(UserError, match="every loss with 0"):
        built({"name": "fixed", "weights": {"a": 0.0, "b": 0.0}}, ["a", "b"])
    with pytest.raises(UserError, match="0 or more"):
        lookup.build("train/balance", {"name": "gradnorm", "alpha": -1.0})
