"""GradNorm: weights under which all losses learn at one pace."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from polymodal.base.errors import UserError
from polymodal.contract.balance import JOINT, Balance, Loss, Part
from polymodal.train.balance._weighted import called, checked

# So far at least a weight stays above 0: what has none would never learn again.
LEAST = 1e-3


class Gradnorm(Balance):
    """Weights that bring the gradients' norms to one size, times how far behind each loss is.

    A loss is behind if it has fallen less, of what it was at first, than the mean of all; its
    gradient on what all share is to be (its share over the mean share)^alpha times the mean norm.
    The weights learn by the distance to that, sum to 1, and begin equal.

    Args:
        alpha: 0: norms of one size; larger: what is behind is given more.
        over: "tasks" or "modalities", each of which is then also trained by itself.

    Paper: "GradNorm: Gradient Normalization for Adaptive Loss Balancing in Deep Multitask Networks"
    (Chen et al. 2018, arXiv 1711.02257). Neighbour: `uncertainty` needs one pass backwards.
    """

    first: Tensor

    def __init__(self, *, alpha: float = 1.5, over: str = "tasks") -> None:
        super().__init__()
        if not 0 <= alpha < math.inf:
            raise UserError(
                f"gradnorm has an alpha of {alpha:g}", expected="a number of 0 or more, such as 1.5"
            )
        self.alpha, self.over = alpha, checked("gradnorm", over)
        self.names: list[str] = []
        self.weights = nn.Parameter(torch.zeros(0))
        self.register_buffer("first", torch.zeros(0))

    def expect(self, names: Sequence[str]) -> None:
        self.names = list(names)
        self.weights = nn.Parameter(torch.full((len(names),), 1 / len(names)))
        self.first = torch.zeros(len(names))

    def backward(self, losses: Mapping[str, Loss], parts: Mapping[str, Part]) -> dict[str, float]:
        # AdamW has moved them since: back to weights that sum to 1.
        with torch.no_grad():
            self.weights.clamp_(min=LEAST).div_(self.weights.sum())
        here = [i for i, name in enumerate(self.names) if name in losses]
        values = torch.stack([losses[self.names[i]].value for i in here])
        now = values.detach().to(self.first)
        begins = (self.first[here] == 0) & now.isfinite()
        self.first[here] = torch.where(begins, now, self.first[here])
        norms = torch.stack([_norm(one, parts[JOINT].params) for one in values]).to(self.weights)
        weights = self.weights.detach()[here]
        total = (weights.to(values) * values).sum() / weights.sum()
        torch.autograd.backward(total)
        self.weights.grad = torch.zeros_like(self.weights)
        self.weights.grad[here] = self._pull(
            weights, norms, now / self.first[here].clamp(min=1e-12)
        )
        return {
            f"weight/{called(name)}": float(w)
            for name, w in zip(self.names, self.weights.detach(), strict=True)
        }

    def _pull(self, weights: Tensor, norms: Tensor, fallen: Tensor) -> Tensor:
        """The gradient of sum |w G - target| by w; targets are constants, as in the paper."""
        sizes = weights * norms
        pace = (fallen / fallen.mean().clamp(min=1e-12)) ** self.alpha
        return torch.sign(sizes - sizes.mean() * pace) * norms


def _norm(loss: Tensor, params: Sequence[nn.Parameter]) -> Tensor:
    if not params:  # all that is shared is frozen: there is nothing to balance
        return loss.new_zeros(())
    found = torch.autograd.grad(loss, list(params), retain_graph=True, allow_unused=True)
    parts = [g.detach().square().sum() for g in found if g is not None]
    return torch.stack(parts).sum().sqrt() if parts else loss.new_zeros(())
