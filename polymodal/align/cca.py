"""CCA: linear maps that start where modalities correlate."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar

import numpy as np
import torch
from scipy.linalg import block_diag, eigh

from polymodal.align._projection import Array, Projection, moments, principal, signed
from polymodal.base.errors import UserError
from polymodal.contract.align import Align
from polymodal.contract.batch import Tokens

# Keeps what does not vary at all from being divided by 0.
LEAST = 1e-9


class Cca(Projection):
    """Linear maps that start as the canonical correlation analysis of the modalities that have this
    alignment, and learn on from there.

    The numbers of a row's mean token in one modality and in another, place by place, begin as
    correlated as linear maps of the training rows can make them, the most correlated first, each of
    variance 1 and uncorrelated with the others of its modality. Of more than two modalities the sum
    over all pairs is the largest. Rows that lack one of them say nothing here. A modality by
    itself, as in a rival, starts as whitened principal components. What of the width goes beyond
    the narrowest of the modalities starts at random.

    Args:
        size: of the tokens that come in.
        width: of those that go out.
        shrink: how far each modality's covariance is drawn to equal variances first, from 0 (plain
            CCA) to 1. Where tokens are about as wide as there are rows, some is needed: chance
            correlates anything.

    Papers: "Relations between two sets of variates" (Hotelling 1936); more than two: "Canonical
    analysis of several sets of variables" (Kettenring 1971); shrinkage: "Canonical ridge and
    econometrics of joint production" (Vinod 1976).
    """

    learns: ClassVar[bool] = True

    def __init__(self, size: int, width: int, *, shrink: float = 0.1) -> None:
        super().__init__(size, width)
        if not 0 <= shrink <= 1:
            raise UserError(
                "'align: cca' cannot be so", expected="shrink from 0 to 1", got=f"{shrink:g}"
            )
        self.shrink = shrink

    @classmethod
    def start(cls, aligns: Mapping[str, Align], batches: Iterable[Mapping[str, Tokens]]) -> None:
        own = [one for one in aligns.values() if isinstance(one, Cca)]
        sizes = [one.linear.in_features for one in own]
        count, mean, covariance = moments(_complete(batch, list(aligns)) for batch in batches)
        if count < 2:
            raise UserError(
                f"The alignment 'cca' cannot start: too few rows have {' and '.join(aligns)}",
                expected="two training rows that have all of them, or more",
                got=f"{count} rows",
                do="use align: pca, or give cca to modalities that go together",
            )
        # No more can correlate than there are rows to tell.
        most = min(*sizes, count - 1, *(one.linear.out_features for one in own))
        found = canonical(covariance, sizes, [one.shrink for one in own], most)
        ends = np.cumsum(sizes)
        for one, rows, end in zip(own, found, ends, strict=True):
            one.begin(rows, mean[end - rows.shape[1] : end])


def canonical(
    covariance: Array, sizes: Sequence[int], shrink: Sequence[float], most: int
) -> list[Array]:
    """Each modality's directions `(k, size)`, the most correlated first.

    Args:
        covariance: of all modalities side by side.
        sizes: of each.
        shrink: of each.
        most: k at most.
    """
    ends = np.cumsum(sizes)
    places = [slice(end - size, end) for end, size in zip(ends, sizes, strict=True)]
    blocks = [_shrunk(covariance[at, at], by) for at, by in zip(places, shrink, strict=True)]
    if len(sizes) == 1:
        return [principal(blocks[0], most, whiten=True)]
    between = covariance - block_diag(*(covariance[at, at] for at in places))
    last = len(covariance) - 1
    _, vectors = eigh(between, block_diag(*blocks), subset_by_index=(last - most + 1, last))
    # Together they have length 1 by the blocks: of two modalities each has half of its square.
    rows = signed(vectors.T[::-1]) * np.sqrt(len(sizes))
    return [np.ascontiguousarray(rows[:, at]) for at in places]


def _shrunk(block: Array, by: float) -> Array:
    even = np.trace(block) / len(block)
    least = LEAST * max(even, np.finfo(np.float64).tiny)
    found: Array = (1 - by) * block + (by * even + least) * np.eye(len(block))
    return found


def _complete(batch: Mapping[str, Tokens], names: Sequence[str]) -> torch.Tensor:
    """The mean tokens side by side of the rows that have all the modalities."""
    there = torch.stack([batch[name].present() for name in names]).all(0)
    return torch.cat([batch[name].mean()[there] for name in names], 1)
