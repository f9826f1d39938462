"""Jacobian descent: gradients of several losses, aggregated where they conflict."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from polymodal.base import lookup
from polymodal.base.errors import MissingExtra
from polymodal.contract.balance import JOINT, TASKS, Balance, Loss, Part
from polymodal.metrics.contribution import gradient_conflict
from polymodal.train.balance._weighted import checked

# Of torchjd's, what aggregates any matrix by itself. UPGrad is not among them: its solver is under
# the GPL, and on two rows, as every encoder has, it is half of PCGrad.
AGGREGATORS = ("PCGrad", "MGDA", "CAGrad", "AlignedMTL", "IMTLG", "Mean")
# How far CAGrad may go from the mean, of that mean's length; as in its paper.
RADIUS = 0.4
# What CAGrad is solved by.
SOLVERS = ("cvxpy", "clarabel")


class JacobianDescent(Balance):
    """One update from the gradients of several losses, by an aggregator of the library torchjd.

    Over modalities an encoder has two rows, the gradients of the joint loss and of its modality's
    own; fusion and heads have one of each loss. Over tasks, what they share has a row of each, and
    each head its own. All are passed backwards once for every loss. Equal gradients give that
    gradient, whatever the rule. Neighbours: `ogm_ge` adds no loss; `fixed` weighs the losses.

    Args:
        aggregator: "PCGrad" (what conflicts is projected away, then the mean is taken), "MGDA" (the
            shortest convex combination: it follows the smaller gradient), "CAGrad" (near the mean,
            the direction whose worst loss falls fastest), "AlignedMTL" (rows made orthogonal and of
            one length), "IMTLG" (equal projections on all rows) or "Mean" (no attention to
            conflicts).
        over: "modalities", or "tasks".

    Papers: "MMPareto" (Wei, Hu 2024, arXiv 2405.17730); "Gradient Surgery for Multi-Task Learning"
    (Yu et al. 2020, arXiv 2001.06782); "Conflict-Averse Gradient Descent for Multi-task Learning"
    (Liu et al. 2021, arXiv 2110.14048); "Jacobian Descent for Multi-Task Optimization"
    (Quinton, Rey 2024, arXiv 2406.16232).
    """

    def __init__(self, *, aggregator: str = "PCGrad", over: str = "modalities") -> None:
        super().__init__()
        if aggregator not in AGGREGATORS:
            what = f"jacobian_descent has no aggregator '{aggregator}'"
            raise lookup.unknown(what, aggregator, AGGREGATORS)
        if importlib.util.find_spec("torchjd") is None:
            raise MissingExtra("torchjd", "torchjd", "balance: jacobian_descent")
        solved = aggregator == "CAGrad"
        for package in SOLVERS if solved else ():
            if importlib.util.find_spec(package) is None:
                raise MissingExtra(package, "cagrad", "aggregator: CAGrad")
        from torchjd import aggregation

        self.over = checked("jacobian_descent", over)
        self.aggregate = getattr(aggregation, aggregator)(**({"c": RADIUS} if solved else {}))
        self.aggregator = aggregator

    def backward(self, losses: Mapping[str, Loss], parts: Mapping[str, Part]) -> dict[str, float]:
        rows: dict[str, list[Tensor]] = {name: [] for name in parts}
        for name, loss in losses.items():
            reached = [part for part, own in parts.items() if name in own.losses]
            found = _gradients(loss.value, [parts[part].params for part in reached])
            for where, gradient in zip(reached, found, strict=True):
                rows[where].append(gradient)
        for where, part in parts.items():
            if rows[where]:
                _fill(part.params, self._aggregated(rows[where]))
        if self.over == TASKS:
            return self._conflicts(list(losses), rows[JOINT])
        return {f"conflict/{name}": _conflict(*rows[name]) for name in losses if name != JOINT}

    def _conflicts(self, names: list[str], rows: Sequence[Tensor]) -> dict[str, float]:
        """Of each task, the cosine of its gradient and the mean of the others'."""
        if len(rows) < 2:
            return {}
        whole = torch.stack(list(rows)).sum(0)
        return {
            f"conflict/{n}": _conflict(whole - row, row) for n, row in zip(names, rows, strict=True)
        }

    def _aggregated(self, rows: Sequence[Tensor]) -> Tensor:
        matrix = torch.stack(list(rows))
        # The solvers may fail on these; the loop leaves out a step whose gradient is not finite.
        # Of an encoder that is frozen there is nothing to aggregate.
        if not matrix.numel() or not matrix.isfinite().all():
            return matrix.mean(0)
        found = self.aggregate(matrix)
        assert isinstance(found, Tensor)
        # So that equal rows give that row.
        scale = {"PCGrad": len(rows), "CAGrad": 1 + RADIUS}.get(self.aggregator, 1)
        return found / scale


def _conflict(one: Tensor, other: Tensor) -> float:
    return gradient_conflict(one.cpu().numpy(), other.cpu().numpy())


def _gradients(loss: Tensor, groups: Sequence[Sequence[nn.Parameter]]) -> list[Tensor]:
    """The gradient as one vector for each group of parameters; empty for a group without any."""
    params = [p for group in groups for p in group]
    found = iter(
        torch.autograd.grad(
            loss, params, retain_graph=True, allow_unused=True, materialize_grads=True
        )
    )
    start = loss.new_zeros(0)
    return [torch.cat([start, *(next(found).flatten() for _ in group)]) for group in groups]


def _fill(params: Sequence[nn.Parameter], gradient: Tensor) -> None:
    """Cut a vector into the parameters' gradients."""
    start = 0
    for p in params:
        p.grad = gradient[start : start + p.numel()].view_as(p).clone()
        start += p.numel()
