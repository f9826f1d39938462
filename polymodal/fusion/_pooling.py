"""What fusions share: tokens side by side, means of them, and shares of what is present."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from polymodal.base.errors import UserError
from polymodal.contract.batch import Tokens

# exp(-30) is nothing beside any other weight, but a modality that is alone still gets all of it.
LOWEST = -30.0


def check_depth(depth: int) -> None:
    """UserError unless a fusion has a layer."""
    if depth < 1:
        raise UserError(
            f"depth={depth} leaves no block", expected="1 or more", do="fusion: concat for none"
        )


def means(tokens: dict[str, Tokens]) -> Tensor:
    """Every modality's masked mean, `(batch, modalities, width)`; zeros where it is absent."""
    return torch.stack([t.mean() for t in tokens.values()], 1)


def present(tokens: dict[str, Tokens]) -> Tensor:
    """Which modalities each row has, `(batch, modalities)` bool."""
    return torch.stack([t.present() for t in tokens.values()], 1)


def normed(tokens: dict[str, Tokens], norms: nn.ModuleList) -> Tensor:
    """`means`, each modality's through a norm of its own; zeros where it is absent."""
    views = [norm(t.mean()) for norm, t in zip(norms, tokens.values(), strict=True)]
    return torch.where(present(tokens).unsqueeze(-1), torch.stack(views, 1), 0)


def balanced(tokens: dict[str, Tokens]) -> Tensor:
    """The mean of the present modalities' means, `(batch, width)`, so no long one outweighs."""
    count = present(tokens).sum(1, keepdim=True).clamp(min=1)
    return means(tokens).sum(1) / count


def joined(tokens: dict[str, Tokens], modality: Tensor) -> tuple[Tensor, Tensor]:
    """All modalities' tokens in one sequence, each with its row of `modality` added; its mask."""
    values = [t.values + own for t, own in zip(tokens.values(), modality, strict=True)]
    return torch.cat(values, 1), torch.cat([t.mask for t in tokens.values()], 1)


def restored(tokens: dict[str, Tokens], streams: Sequence[Tensor]) -> dict[str, Tokens]:
    """Every modality's new values under the mask it came with, zeros where that is False."""
    return {
        name: Tokens(torch.where(t.mask.unsqueeze(-1), stream, 0), t.mask)
        for (name, t), stream in zip(tokens.items(), streams, strict=True)
    }


def parted(tokens: dict[str, Tokens], values: Tensor) -> dict[str, Tokens]:
    """What `joined` has joined, as modalities again."""
    lengths = [t.mask.shape[1] for t in tokens.values()]
    return restored(tokens, torch.split(values, lengths, 1))


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
