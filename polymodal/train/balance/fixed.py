"""Fixed: a weighted mean of the losses."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch

from polymodal.base import lookup
from polymodal.base.errors import UserError
from polymodal.contract.balance import Balance, Loss, Part
from polymodal.train.balance._weighted import called, checked


class Fixed(Balance):
    """The mean of the losses by fixed weights: the same as that mean of their gradients.

    Args:
        weights: loss -> weight, 0 or more; 1 for those that are not named. Over modalities the loss
            of all together is called "joint".
        over: "tasks" or "modalities", each of which is then also trained by itself.

    Neighbour: `uncertainty` learns them.
    """

    def __init__(self, *, weights: dict[str, float] | None = None, over: str = "tasks") -> None:
        super().__init__()
        self.weights, self.over = weights or {}, checked("fixed", over)
        wrong = [f"{n}: {w:g}" for n, w in self.weights.items() if not 0 <= w < math.inf]
        if wrong:
            raise UserError(
                "balance: fixed has a weight that is none",
                expected="weights of 0 or more",
                got=", ".join(wrong),
            )

    def expect(self, names: Sequence[str]) -> None:
        known = [called(name) for name in names]
        for name in self.weights:
            if name not in known:
                raise lookup.unknown(f"balance: fixed weighs '{name}'", name, known)
        if not any(self.weights.get(name, 1.0) for name in known):
            raise UserError(
                "balance: fixed weighs every loss with 0",
                expected="one above 0",
                got=", ".join(known),
            )

    def backward(self, losses: Mapping[str, Loss], parts: Mapping[str, Part]) -> dict[str, float]:
        weights = {name: self.weights.get(called(name), 1.0) for name in losses}
        # A batch may lack all those that count.
        whole = sum(weights.values()) or 1.0
        total = sum(weights[name] / whole * one.value for name, one in losses.items())
        assert isinstance(total, torch.Tensor)
        torch.autograd.backward(total)
        return {}
