"""Hierarchical: a token, the passage that it stands in, and the whole."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from polymodal.base.errors import UserError
from polymodal.contract.align import Align
from polymodal.contract.batch import Tokens


class Hierarchical(Align):
    """Three levels at once: a linear map of the token, one of the mean over its passage, and one of
    the mean over all of the row's tokens in this modality; their sum goes out.

    So tokens of a long text, sound or clip meet other modalities with what surrounds them, though
    their encoder saw only a few steps. Passages are `window` positions that follow each other;
    means are of real positions. An encoder of one token a row has nothing to gain.

    Args:
        size: of the tokens that come in.
        width: of those that go out.
        window: positions of a passage.

    Paper: "COOT: Cooperative Hierarchical Transformer for Video-Text Representation Learning" (Ging
    et al. 2020, arXiv 2011.00597), which aligns frames and words, clips and sentences, and wholes.
    """

    def __init__(self, size: int, width: int, *, window: int = 4) -> None:
        super().__init__()
        if window < 1:
            raise UserError(
                "'align: hierarchical' cannot be so",
                expected="a window of 1 or more",
                got=str(window),
            )
        self.window = window
        self.token = nn.Linear(size, width)
        self.passage = nn.Linear(size, width, bias=False)
        self.whole = nn.Linear(size, width, bias=False)

    def forward(self, tokens: Tokens) -> Tokens:
        values = torch.where(tokens.mask.unsqueeze(-1), tokens.values, 0)
        passage = _means(values, tokens.mask, self.window)
        whole = Tokens(values, tokens.mask).mean().unsqueeze(1)
        found = self.token(values) + self.passage(passage) + self.whole(whole)
        return Tokens(found, tokens.mask)


def _means(values: Tensor, mask: Tensor, window: int) -> Tensor:
    """The mean over the real ones of the `window` positions that each stands among, as `values`.

    What is not real is 0.
    """
    # Sums lie at the passages' numbers: the length that this leaves unused is known, and one that
    # was divided would bind an exported network to several passages.
    at = torch.arange(values.shape[1], device=values.device) // window
    sums = torch.zeros_like(values).index_add(1, at, values)
    real = mask.to(values.dtype)
    count = torch.zeros_like(real).index_add(1, at, real).clamp(min=1)
    return (sums / count.unsqueeze(-1)).index_select(1, at)
