"""Tensor fusion: the outer product of the modalities' vectors, every interaction in full."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F

from polymodal.base.errors import UserError
from polymodal.contract.batch import Fused, Tokens
from polymodal.contract.fusion import Fusion
from polymodal.fusion import _pooling

USUAL = 2**12  # entries of the outer product, if the size is not given
MOST = 2**16


class Tensor(Fusion):
    """A linear map of the outer product of [1; h_m] over the modalities m.

    h_m = tanh(P_m x_m) of the masked mean x_m. The product holds every h_m, every product of two,
    and so on up to all of them, so a linear head can learn XOR. An absent modality is [1; 0]: all
    that contains it is gone, and the others' interactions stay.

    For M modalities, the width w and s = size it has M (2 w + (w + 1) s) + ((s + 1)^M + 1) w
    parameters. Neighbours: `low_rank` is such a map in factors, for many modalities.
    Paper: "Tensor Fusion Network for Multimodal Sentiment Analysis" (Zadeh 2017).

    Args:
        names: modalities, in the order of the tokens.
        width: of tokens and result.
        size: of each h_m; by default the largest, up to `width`, for which the product has no more
            than 4096 entries: 63 for two modalities, 15 for three, 7 for four.
    """

    def __init__(self, names: Sequence[str], width: int, *, size: int | None = None) -> None:
        super().__init__()
        size = _size(size, len(names), width)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in names)
        self.projections = nn.ModuleList(nn.Linear(width, size) for _ in names)
        self.out = nn.Linear((size + 1) ** len(names), width)

    def forward(self, tokens: dict[str, Tokens]) -> Fused:
        present = _pooling.present(tokens)
        pooled = self.out(self.product(tokens))
        return Fused(_pooling.only_present(pooled, present), tokens)

    def product(self, tokens: dict[str, Tokens]) -> torch.Tensor:
        """The outer product, `(batch, (size + 1) ** modalities)`, the last modality fastest."""
        views = _pooling.normed(tokens, self.norms).unbind(1)
        product = views[0].new_ones(views[0].shape[0], 1)
        for projection, view, t in zip(self.projections, views, tokens.values(), strict=True):
            h = torch.where(t.present().unsqueeze(1), projection(view).tanh(), 0)
            one_h = F.pad(h, (1, 0), value=1.0)
            product = (product.unsqueeze(2) * one_h.unsqueeze(1)).flatten(1)
        return product


def _size(size: int | None, modalities: int, width: int) -> int:
    if size is None:
        # The rounding of a root must not lose the whole number that it is.
        size = max(1, min(width, int(USUAL ** (1 / modalities) + 1e-9) - 1))
    entries = (size + 1) ** modalities
    if size < 1 or entries > MOST:
        raise UserError(
            f"The outer product of {modalities} modalities cannot have the size {size}",
            expected=f"a size of 1 or more, and (size + 1) ** {modalities} up to {MOST}",
            got=f"{entries} entries",
            do="set a smaller size, leave it out, or use fusion: low_rank",
        )
    return size
