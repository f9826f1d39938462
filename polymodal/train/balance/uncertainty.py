"""Uncertainty: each loss is weighed by how uncertain what it measures is, which is learned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import nn

from polymodal.contract.balance import Balance, Loss, Part
from polymodal.train.balance._weighted import called, checked


class Uncertainty(Balance):
    """The sum over losses of 1/2 exp(-2 log sigma) L + log sigma; every log sigma begins at 0.

    A loss that stays large is weighed down: at its best, exp(2 log sigma) = L.

    Args:
        over: "tasks" or "modalities", each of which is then also trained by itself.

    Paper: "Multi-Task Learning Using Uncertainty to Weigh Losses for Scene Geometry and Semantics"
    (Kendall, Gal, Cipolla 2018, arXiv 1705.07115). Neighbour: `gradnorm` looks at gradients.
    """

    def __init__(self, *, over: str = "tasks") -> None:
        super().__init__()
        self.over = checked("uncertainty", over)
        self.names: list[str] = []
        self.log_sigma = nn.Parameter(torch.zeros(0))

    def expect(self, names: Sequence[str]) -> None:
        self.names = list(names)
        self.log_sigma = nn.Parameter(torch.zeros(len(names)))

    def backward(self, losses: Mapping[str, Loss], parts: Mapping[str, Part]) -> dict[str, float]:
        total = torch.stack(
            [
                0.5 * torch.exp(-2 * self.log_sigma[i]) * losses[name].value + self.log_sigma[i]
                for i, name in enumerate(self.names)
                if name in losses
            ]
        ).sum()
        torch.autograd.backward(total)
        weights = 0.5 * torch.exp(-2 * self.log_sigma.detach())
        return {f"weight/{called(n)}": float(w) for n, w in zip(self.names, weights, strict=True)}
