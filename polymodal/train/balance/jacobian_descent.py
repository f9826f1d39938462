"""Jacobian descent: the joint loss and every modality's own, aggregated where they conflict."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from polymodal.base import lookup
from polymodal.base.errors import MissingExtra
from polymodal.contract.balance import Alone, Balance
from polymodal.metrics.contribution import gradient_conflict

# Of torchjd's, what aggregates any matrix by itself. UPGrad is not among them: its solver is under
# the GPL, and on two rows, as every encoder has, it is half of PCGrad.
AGGREGATORS = ("PCGrad", "MGDA", "AlignedMTL", "Sum")


class JacobianDescent(Balance):
    """One update from the gradients of M + 1 losses, by an aggregator of the library torchjd.

    An encoder has two rows, the gradients of the joint loss and of its modality's own; fusion and
    heads have one of each loss. Every encoder is passed backwards twice. Neighbour: `ogm_ge` adds
    no loss.

    Args:
        aggregator: "PCGrad" (what conflicts is projected away, then all are added), "MGDA" (the
            shortest convex combination: it follows the smaller gradient), "AlignedMTL" (rows made
            orthogonal and of one length) or "Sum" (no attention to conflicts).

    Papers: "MMPareto" (Wei, Hu 2024, arXiv 2405.17730); "Gradient Surgery for Multi-Task Learning"
    (Yu et al. 2020, arXiv 2001.06782); "Jacobian Descent for Multi-Task Optimization"
    (Quinton, Rey 2024, arXiv 2406.16232).
    """

    def __init__(self, *, aggregator: str = "PCGrad") -> None:
        if aggregator not in AGGREGATORS:
            what = f"jacobian_descent has no aggregator '{aggregator}'"
            raise lookup.unknown(what, aggregator, AGGREGATORS)
        if importlib.util.find_spec("torchjd") is None:
            raise MissingExtra("torchjd", "torchjd", "balance: jacobian_descent")
        from torchjd import aggregation

        self.aggregate = getattr(aggregation, aggregator)()

    def backward(
        self,
        joint: Tensor,
        alone: Mapping[str, Alone],
        encoders: Mapping[str, Sequence[nn.Parameter]],
        rest: Sequence[nn.Parameter],
    ) -> dict[str, float]:
        numbers = {}
        *firsts, shared = _gradients(joint, [*encoders.values(), rest])
        rows = {name: [first] for name, first in zip(encoders, firsts, strict=True)}
        common = [shared]
        for name, one in alone.items():
            own, shared = _gradients(one.loss, [encoders[name], rest])
            conflict = gradient_conflict(rows[name][0].cpu().numpy(), own.cpu().numpy())
            numbers[f"conflict/{name}"] = conflict
            rows[name].append(own)
            common.append(shared)
        for name, params in encoders.items():
            _fill(params, self._aggregated(rows[name]))
        _fill(rest, self._aggregated(common))
        return numbers

    def _aggregated(self, rows: Sequence[Tensor]) -> Tensor:
        matrix = torch.stack(list(rows))
        # The solvers may fail on these; the loop leaves out a step whose gradient is not finite.
        if not matrix.isfinite().all():
            return matrix.sum(0)
        found = self.aggregate(matrix)
        assert isinstance(found, Tensor)
        return found


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
