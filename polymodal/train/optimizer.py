"""The optimiser: AdamW by groups of rate and decay, and the course of the rate."""

from __future__ import annotations

import math

import torch
from torch import nn

from polymodal.contract.recipe import Training
from polymodal.models.model import Model


def optimizer(model: Model, settings: Training) -> torch.optim.Optimizer:
    """AdamW (Loshchilov, Hutter 2019); no decay on biases, norms and embeddings.

    A parameter's rate is what `model.rates` says or, of a backbone, `pretrained_lr`, or else `lr`;
    times `model.factors`.
    """
    tables = {
        id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding | nn.EmbeddingBag)
    }
    backbone = {
        id(p) for m in model.modules() if getattr(m, "is_backbone", False) for p in m.parameters()
    }
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, p in model.named_parameters():
        if p.requires_grad:
            decay = 0.0 if p.dim() < 2 or id(p) in tables else settings.weight_decay
            usual = settings.pretrained_lr if id(p) in backbone else settings.lr
            rate = model.rates.get(name, usual) * model.factors.get(name, 1.0)
            groups.setdefault((rate, decay), []).append(p)
    described = [
        {"params": params, "lr": rate, "peak": rate, "weight_decay": decay}
        for (rate, decay), params in groups.items()
    ]
    return torch.optim.AdamW(described, betas=(0.9, 0.99), fused=True)


def rate(step: int, steps: int, warmup: float) -> float:
    """Share of the peak rate: linear warm-up over a share of all steps, then a cosine to zero."""
    first = max(1, round(warmup * steps))
    if step < first:
        return (step + 1) / first
    return 0.5 * (1 + math.cos(math.pi * (step - first) / max(1, steps - first)))
