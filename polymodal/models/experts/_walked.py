"""Boosted trees as plain tensor operations: what an exported model has in LightGBM's place."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

# Bits of a split's `decision_type`.
CATEGORY, LEFT = 1, 2
# The others say what counts as missing: nothing (then NaN is 0), zeros, NaN.
NOTHING, NAN = 0, 2


class _Tree(NamedTuple):
    """Splits, then leaves, which lead to themselves; arrays of as many numbers each."""

    feature: list[int]
    threshold: list[float]
    left: list[int]
    right: list[int]
    missing_left: list[bool]
    value: list[float]
    depth: int


class Walked(nn.Module):
    """All trees are walked at once, a level a step: sums `(batch, size)` of their leaves.

    It answers as LightGBM does, to the rounding of sums, and is slower.

    Args:
        text: LightGBM's, of numeric splits.
        size: outputs; tree i adds to output i modulo size.
    """

    feature: Tensor
    threshold: Tensor
    left: Tensor
    right: Tensor
    missing_left: Tensor
    value: Tensor
    roots: Tensor

    def __init__(self, text: str, size: int) -> None:
        super().__init__()
        self.size, self.depth = size, 0
        columns: dict[str, list[Any]] = {name: [] for name in _Tree._fields[:-1]}
        roots: list[int] = []
        for tree in _trees(text):
            first = len(columns["value"])
            roots.append(first)
            self.depth = max(self.depth, tree.depth)
            for name, own in columns.items():
                shift = first if name in ("left", "right") else 0
                own += [number + shift if shift else number for number in getattr(tree, name)]
        kinds = {"threshold": np.float64, "value": np.float64, "missing_left": np.bool_}
        for name, own in columns.items():
            array: np.ndarray[Any, Any] = np.array(own, kinds.get(name, np.int64))
            self.register_buffer(name, torch.from_numpy(array))
        self.register_buffer("roots", torch.tensor(roots, dtype=torch.int64))

    def forward(self, features: Tensor) -> Tensor:
        """Features `(batch, features)` float64, NaN where missing -> `(batch, size)` float64."""
        if self.roots.shape[0] == 0:
            return features.new_zeros(features.shape[0], self.size)
        node = self.roots.expand(features.shape[0], -1)
        for _ in range(self.depth):
            value = features.gather(1, self.feature[node])
            missing = value.isnan() & self.missing_left[node]
            below = missing | (value <= self.threshold[node])
            node = torch.where(below, self.left[node], self.right[node])
        return self.value[node].view(node.shape[0], -1, self.size).sum(1)


def _trees(text: str) -> Iterator[_Tree]:
    for part in text.split("\nTree=")[1:]:
        lines = (line.partition("=") for line in part.splitlines())
        fields = {name: value.split() for name, sign, value in lines if sign}
        leaves = [float(one) for one in fields["leaf_value"]]
        kinds = [int(one) for one in fields.get("decision_type", [])]
        threshold = [float(one) for one in fields.get("threshold", [])]
        splits = len(kinds)
        assert not any(kind & CATEGORY for kind in kinds), "splits are numeric"
        children = [
            [int(one) if int(one) >= 0 else splits + ~int(one) for one in fields.get(name, [])]
            for name in ("left_child", "right_child")
        ]
        own = list(range(splits, splits + len(leaves)))
        yield _Tree(
            feature=[int(one) for one in fields.get("split_feature", [])] + [0] * len(leaves),
            threshold=threshold + [0.0] * len(leaves),
            left=children[0] + own,
            right=children[1] + own,
            missing_left=[_left(k, t) for k, t in zip(kinds, threshold, strict=True)]
            + [False] * len(leaves),
            value=[0.0] * splits + leaves,
            depth=_depth(children, splits),
        )


def _left(kind: int, threshold: float) -> bool:
    """Whether a missing value goes to the left."""
    missing = kind >> 2 & 3
    assert missing in (NOTHING, NAN), "zeros are numbers"
    return bool(kind & LEFT) if missing == NAN else threshold >= 0


def _depth(children: list[list[int]], splits: int) -> int:
    """Of the deepest leaf; a split comes before those that it leads to."""
    depths = [0] * splits
    for i in range(splits):
        for child in (children[0][i], children[1][i]):
            if child < splits:
                depths[child] = depths[i] + 1
    return max(depths, default=-1) + 1
