"""OGM-GE: what a modality that is ahead of the others learns is slowed down."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from polymodal.base.errors import UserError
from polymodal.contract.balance import JOINT, MODALITIES, Balance, Loss, Part


class OgmGe(Balance):
    """On-the-fly gradient modulation with an enhancement of generalisation.

    The gradients of the encoder of a modality with a discrepancy ratio rho above 1 are multiplied
    by 1 - tanh(alpha * rho). Weights of all encoders (not biases, norms, and what a batch did not
    use) then get Gaussian noise with the deviation of their gradient, which is how noisy it was
    before. AdamW divides gradients by their recent size: a factor that stays the same is lost, one
    that changes counts. Neighbour: `jacobian_descent` also trains every modality by itself.

    Args:
        alpha: above 0; larger slows more.
        noise: False for the modulation alone (OGM).

    Paper: "Balanced Multimodal Learning via On-the-fly Gradient Modulation" (Peng et al. 2022,
    arXiv 2203.15332).
    """

    over = MODALITIES

    def __init__(self, *, alpha: float = 0.3, noise: bool = True) -> None:
        super().__init__()
        if not 0 < alpha < math.inf:
            raise UserError(
                f"ogm_ge has an alpha of {alpha:g}",
                expected="a number above 0, such as 0.3",
                do="leave training.balance out for no balancing",
            )
        self.alpha, self.noise = alpha, noise

    def backward(self, losses: Mapping[str, Loss], parts: Mapping[str, Part]) -> dict[str, float]:
        torch.autograd.backward(losses[JOINT].value)
        for name, part in parts.items():
            if name == JOINT:
                continue
            factor = self._factor(losses[name].ratio) if name in losses else 1.0
            for p in part.params:
                if p.grad is not None:
                    p.grad = self._modulated(p.grad, factor)
        return {}

    def _factor(self, ratio: float) -> float:
        return 1 - math.tanh(self.alpha * ratio) if ratio > 1 else 1.0

    def _modulated(self, gradient: Tensor, factor: float) -> Tensor:
        found = gradient * factor
        if self.noise and gradient.dim() > 1 and gradient.numel() > 1:
            noise = torch.randn_like(gradient) * gradient.std()
            # Adam would take full steps along noise where there is no gradient, such as in rows
            # of a table of embeddings that the batch lacks.
            found += torch.where(gradient != 0, noise, 0)
        return found
