"""Masked multi-head attention, and the Transformer block that fusions are made of.

Paper: "Attention Is All You Need" (Vaswani 2017), in the pre-norm arrangement (Xiong 2020).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from polymodal.base.errors import UserError


class Attention(nn.Module):
    """Multi-head attention over masked keys.

    Args:
        width: of queries, keys and result.
        heads: must divide `width`.
        bias: whether queries, keys and values have biases, as most papers' do. A key's shifts every
            score of a query alike, so it never learns.
        dropout: of the weights.

    Attributes:
        attention: the kernel: "sdpa" (PyTorch's fused one) or "plain" (two matrix products and a
            softmax, which train faster where SDPA's backward is slow). `train.kernels` sets it.
    """

    def __init__(self, width: int, heads: int, *, bias: bool = False, dropout: float = 0.0) -> None:
        super().__init__()
        if heads < 1 or width % heads:
            raise UserError(
                f"{heads} attention heads do not divide the width {width}",
                expected="heads that divide the width",
                got=f"heads={heads}, width={width}",
                do="set heads to 1, 2, 4 or 8, or change the width",
            )
        self.heads, self.attention, self.dropout = heads, "sdpa", dropout
        self.query = nn.Linear(width, width, bias=bias)
        self.key_value = nn.Linear(width, 2 * width, bias=bias)
        self.out = nn.Linear(width, width)

    def forward(self, queries: Tensor, keys: Tensor, mask: Tensor) -> Tensor:
        """Queries `(b, q, w)` read keys `(b, k, w)` where `mask (b, k)` is True -> `(b, q, w)`.

        A row without any key gets zeros, in a way whose gradient is finite too.
        """
        q = self._split(self.query(queries))
        k, v = (self._split(part) for part in self.key_value(keys).chunk(2, -1))
        readable = mask.any(1)
        # A row without a key reads all of them, which is finite, and is set to zero below.
        allowed = (mask | ~readable.unsqueeze(1))[:, None, None, :]
        attend = _plain if self.attention == "plain" else _sdpa
        dropped = self.dropout if self.training else 0.0
        mixed = self.out(attend(q, k, v, allowed, dropped).transpose(1, 2).flatten(2))
        return torch.where(readable[:, None, None], mixed, 0)

    def _split(self, x: Tensor) -> Tensor:
        batch, length, width = x.shape
        return x.view(batch, length, self.heads, width // self.heads).transpose(1, 2)


class Block(nn.Module):
    """A pre-norm Transformer block; with `context`, cross-attention to it comes first (LXMERT)."""

    def __init__(self, width: int, heads: int, dropout: float, cross: bool = False) -> None:
        super().__init__()
        self.cross = Attention(width, heads) if cross else None
        self.cross_norm = nn.LayerNorm(width) if cross else nn.Identity()
        self.context_norm = nn.LayerNorm(width) if cross else nn.Identity()
        self.attention = Attention(width, heads)
        self.attention_norm = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, 4 * width),
            nn.GELU(),
            nn.Linear(4 * width, width),
        )
        self.dropout = nn.Dropout(dropout)

    def forward(
        self,
        values: Tensor,
        mask: Tensor,
        context: Tensor | None = None,
        context_mask: Tensor | None = None,
    ) -> Tensor:
        """Values `(b, l, w)` with mask `(b, l)`, and context likewise -> `(b, l, w)`."""
        if self.cross is not None:
            read = self.cross(self.cross_norm(values), self.context_norm(context), context_mask)
            values = values + self.dropout(read)
        normed = self.attention_norm(values)
        values = values + self.dropout(self.attention(normed, normed, mask))
        return values + self.dropout(self.mlp(values))


def heads_of(width: int) -> int:
    """As many heads as divide a width, where nobody says how many: 4 at most."""
    return next(heads for heads in (4, 2, 1) if width % heads == 0)


def _plain(q: Tensor, k: Tensor, v: Tensor, allowed: Tensor, dropout: float) -> Tensor:
    scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)
    scores = scores.masked_fill(~allowed, torch.finfo(scores.dtype).min)
    weights = scores.softmax(-1)
    return (F.dropout(weights, dropout) if dropout else weights) @ v


def _sdpa(q: Tensor, k: Tensor, v: Tensor, allowed: Tensor, dropout: float) -> Tensor:
    return F.scaled_dot_product_attention(q, k, v, attn_mask=allowed, dropout_p=dropout)
