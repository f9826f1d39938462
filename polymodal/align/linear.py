"""Linear: one matrix."""

from __future__ import annotations

from polymodal.align._projection import Projection


class Linear(Projection):
    """Every token by one linear map, that starts at random.

    Neighbours: `pca` and `cca` are the same map with another start.

    Args:
        size: of the tokens that come in.
        width: of those that go out.
    """
