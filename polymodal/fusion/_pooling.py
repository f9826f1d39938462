"""What the fusions that work on one vector a modality share."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from polymodal.batch import Tokens

# exp(-30) is nothing beside any other weight, but a modality that is alone still gets all of it.
LOWEST = -30.0


def means(tokens: dict[str, Tokens]) -> Tensor:
    """Every modality's masked mean, `(batch, modalities, width)`; zeros where it is absent."""
    return torch.stack([t.mean() for t in tokens.values()], 1)


def present(tokens: dict[str, Tokens]) -> Tensor:
    """Which modalities each row has, `(batch, modalities)` bool."""
    return torch.stack([t.present() for t in tokens.values()], 1)


def shares(logits: Tensor, present: Tensor) -> Tensor:
    """Softmax over the modalities that a row has; equal shares where it has none.

    Args:
        logits: `(modalities,)` or `(batch, modalities, ...)`.
        present: `(batch, modalities)` bool.

    Returns:
        `(batch, modalities, ...)`, summing to 1 over the modalities; 0 at absent ones.
    """
    logits = logits.clamp(min=LOWEST)
    if logits.dim() == 1:
        logits = logits.expand(present.shape)
    absent = ~present.reshape(*present.shape, *[1] * (logits.dim() - 2))
    return logits.masked_fill(absent, torch.finfo(logits.dtype).min).softmax(1)


def mlp(inputs: int, width: int) -> nn.Sequential:
    """The small network that lets pooled vectors interact: `(batch, inputs)` -> `(.., width)`."""
    return nn.Sequential(
        nn.LayerNorm(inputs), nn.Linear(inputs, width), nn.GELU(), nn.Linear(width, width)
    )


def only_present(pooled: Tensor, present: Tensor) -> Tensor:
    """Pooled `(batch, width)` with zeros in the rows that have no modality at all."""
    return torch.where(present.any(1, keepdim=True), pooled, 0)
