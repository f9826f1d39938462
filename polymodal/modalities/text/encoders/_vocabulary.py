"""Which hashed ids the training rows know."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from polymodal.modalities.text.hashing import SPACE
from polymodal.nn.bag import places

# An id seen in one row only has nothing to teach about another row.
LEAST = 2


class Vocabulary(nn.Module):
    """The ids found in the most training rows, numbered from 1; 0 stands for every other id.

    Args:
        size: how many ids are kept at most; fewer where rows share fewer.
    """

    ids: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size
        # SPACE is no id: a table of it alone knows none.
        self.register_buffer("ids", torch.full((size,), SPACE))

    def learn(self, rows: Tensor) -> Tensor:
        """Keep the most frequent ids.

        Args:
            rows: `(SPACE,)`, in how many rows each id was seen (see `count_rows`).

        Returns:
            `(known + 1,)`: in how many rows each numbered id was seen; 0 for number 0.
        """
        shared = (rows >= LEAST).nonzero()[:, 0]
        common = rows[shared].argsort(descending=True, stable=True)[: self.size]
        kept = shared[common].sort().values
        # One id at least, so that there is a table to look into.
        self.ids = (kept if len(kept) else kept.new_tensor([SPACE])).to(self.ids.device)
        return torch.cat([rows.new_zeros(1), rows[kept], rows.new_zeros(len(self.ids) - len(kept))])

    def trim(self, vectors: nn.Embedding) -> None:
        """Drop the vectors of numbers that are not given: they would cost time at every step."""
        known = len(self.ids) + 1
        vectors.weight = nn.Parameter(vectors.weight.detach()[:known].clone())
        vectors.num_embeddings = known

    def forward(self, ids: Tensor) -> Tensor:
        """Ids of any shape to their numbers, int64; 0 where unknown or none."""
        ids = ids.long()
        at = places(self.ids, ids).clamp(max=len(self.ids) - 1)
        return torch.where(self.ids[at] == ids, at + 1, 0)


def count_rows(ids: Tensor, rows: Tensor) -> None:
    """Add to `rows (SPACE,)` in how many rows of `ids (batch, ...)` each id stands; 0 = none."""
    ids = ids.flatten(1).long().cpu()
    row = torch.arange(len(ids)).unsqueeze(1)
    distinct = torch.unique(row * SPACE + ids) % SPACE
    distinct = distinct[distinct > 0]
    rows.scatter_add_(0, distinct, torch.ones_like(distinct))
