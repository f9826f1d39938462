"""Texts as the features of a linear model."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from polymodal.contract.batch import Field
from polymodal.contract.block import Array, Cellwise
from polymodal.modalities.text.hashing import SPACE
from polymodal.nn.bag import places
from polymodal.nn.blocks import Sparse, chunks

# An n-gram seen in one row only has nothing to teach about another.
LEAST = 2


class Ngrams(Sparse):
    """Sublinear TF-IDF of unit length, as scikit-learn's `TfidfVectorizer(sublinear_tf=True)`.

    Args:
        size: how many n-grams are known at most: those in the most training rows, two at least.
    """

    ids: Tensor
    idf: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size
        # Ascending. The last is no id: every search ends inside, and what is not known finds it.
        self.register_buffer("ids", torch.tensor([SPACE]))
        self.register_buffer("idf", torch.zeros(1))

    @property
    def width(self) -> int:
        return len(self.ids)

    def learn(self, cells: Cellwise, rows: Array) -> None:
        counts, total = np.zeros(SPACE, np.int64), 0
        for field in chunks(cells, rows):
            assert field.mask is not None
            # A row holds each of its ids once.
            counts += np.bincount(field.data[..., 0][field.mask].long().numpy(), minlength=SPACE)
            total += int(field.present.sum())
        common = np.argsort(-counts, kind="stable")[: self.size]
        known = np.sort(common[counts[common] >= LEAST])
        idf = np.append(np.log((1 + total) / (1 + counts[known])) + 1, 0)
        self.ids = torch.from_numpy(np.append(known, SPACE))
        self.idf = torch.from_numpy(idf).float()

    def entries(self, field: Field) -> tuple[Tensor, Tensor]:
        assert field.mask is not None
        ids = torch.where(field.mask, field.data[..., 0], SPACE).long()
        place = places(self.ids, ids)
        known = (self.ids[place] == ids) & field.mask
        counts = torch.where(known, field.data[..., 1], 1)
        weights = torch.where(known, (1 + counts.log()) * self.idf[place], 0)
        return place, F.normalize(weights, dim=1)
