"""Which hashed ids the training rows know."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from polymodal.forms.text._hashing import SPACE

# An id seen in one row only has nothing to teach about another row.
LEAST = 2


class Vocabulary(nn.Module):
    """The ids found in the most training rows, numbered from 1; 0 stands for every other id.

    Args:
        size: how many ids are kept at most. The buffer has this size whatever is learned, so that
            a saved encoder loads into a fresh one.
    """

    ids: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        # SPACE is no id: the rest of the table is never found, and keeps the table sorted.
        self.register_buffer("ids", torch.full((size,), SPACE))

    def learn(self, rows: Tensor) -> Tensor:
        """Keep the most frequent ids.

        Args:
            rows: `(SPACE,)`, in how many rows each id was seen (see `count_rows`).

        Returns:
            `(size + 1,)`: in how many rows each numbered id was seen; 0 for number 0 and for
            numbers not given.
        """
        shared = (rows >= LEAST).nonzero()[:, 0]
        common = rows[shared].argsort(descending=True, stable=True)[: len(self.ids)]
        kept = shared[common].sort().values
        self.ids.fill_(SPACE)
        self.ids[: len(kept)] = kept.to(self.ids.device)
        seen = torch.zeros(len(self.ids) + 1, dtype=torch.int64)
        seen[1 : len(kept) + 1] = rows[kept]
        return seen

    def forward(self, ids: Tensor) -> Tensor:
        """Ids of any shape to their numbers, int64; 0 where unknown or none."""
        ids = ids.long()
        at = torch.searchsorted(self.ids, ids).clamp(max=len(self.ids) - 1)
        return torch.where(self.ids[at] == ids, at + 1, 0)


def count_rows(ids: Tensor, rows: Tensor) -> None:
    """Add to `rows (SPACE,)` in how many rows of `ids (batch, ...)` each id stands; 0 = none."""
    ids = ids.flatten(1).long().cpu()
    row = torch.arange(len(ids)).unsqueeze(1)
    distinct = torch.unique(row * SPACE + ids) % SPACE
    distinct = distinct[distinct > 0]
    rows.scatter_add_(0, distinct, torch.ones_like(distinct))
