"""PCA: a linear map that starts as the principal components."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import ClassVar

from polymodal.align._projection import Projection, moments, principal
from polymodal.base.errors import UserError
from polymodal.contract.align import Align
from polymodal.contract.batch import Tokens


class Pca(Projection):
    """A linear map that starts as the principal components of the training rows' tokens, and
    learns on from there.

    It suits a pretrained model that is wider than the members that are fused: at the start the
    tokens lose as little of their variance as any projection of this width can. Where there are
    fewer components than the width, the rest starts at random.

    Args:
        size: of the tokens that come in.
        width: of those that go out.
        whiten: whether each component starts at variance 1.

    Paper: "Analysis of a complex of statistical variables into principal components" (Hotelling
    1933).
    """

    learns: ClassVar[bool] = True

    def __init__(self, size: int, width: int, *, whiten: bool = False) -> None:
        super().__init__(size, width)
        self.whiten = whiten

    @classmethod
    def start(cls, aligns: Mapping[str, Align], batches: Iterable[Mapping[str, Tokens]]) -> None:
        for name, own in aligns.items():
            assert isinstance(own, Pca)
            tokens = (batch[name] for batch in batches)
            count, mean, covariance = moments(one.values[one.mask] for one in tokens)
            if count < 2:
                raise UserError(
                    f"The alignment 'pca' cannot start: '{name}' has too few tokens",
                    expected="two training rows that have it, or more",
                    got=f"{count} tokens",
                    do="use align: linear",
                )
            own.begin(principal(covariance, own.linear.out_features, own.whiten), mean)
