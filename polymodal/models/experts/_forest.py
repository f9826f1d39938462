"""A forest of regression trees as tensors, walked for all rows and trees at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

# Rows times trees that are walked at once: some 100 MB.
CHUNK = 4_000_000


class Forest(nn.Module):
    """Sums of trees' leaf values, one sum an output.

    Nodes of all trees lie in one row of arrays. A leaf leads to itself, so that after `depth`
    steps every walk has arrived.

    Args:
        size: outputs; tree i adds to output i modulo size.
    """

    roots: Tensor
    feature: Tensor
    threshold: Tensor
    left: Tensor
    right: Tensor
    gap_left: Tensor
    value: Tensor
    depth: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size
        self.register_buffer("roots", torch.zeros(0, dtype=torch.int64))
        for name in ("feature", "left", "right"):
            self.register_buffer(name, torch.zeros(0, dtype=torch.int64))
        for name in ("threshold", "value"):
            self.register_buffer(name, torch.zeros(0, dtype=torch.float64))
        self.register_buffer("gap_left", torch.zeros(0, dtype=torch.bool))
        self.register_buffer("depth", torch.zeros((), dtype=torch.int64))

    def forward(self, features: Tensor) -> Tensor:
        """Features `(batch, features)` float64, NaN where missing -> `(batch, size)` float64."""
        trees = len(self.roots)
        if not trees:
            return features.new_zeros(len(features), self.size)
        rows = max(1, CHUNK // trees)
        return torch.cat([self._walk(part) for part in torch.split(features, rows)])

    def _walk(self, features: Tensor) -> Tensor:
        node = self.roots.expand(len(features), -1)
        for _ in range(int(self.depth)):
            x = features.gather(1, self.feature[node])
            goes_left = torch.where(x.isnan(), self.gap_left[node], x <= self.threshold[node])
            node = torch.where(goes_left, self.left[node], self.right[node])
        return self.value[node].reshape(len(features), -1, self.size).sum(1)

    def load(self, trees: Sequence[dict[str, Any]]) -> None:
        """Take over the "tree_info" of LightGBM's `Booster.dump_model()`."""
        nodes: list[tuple[int, float, int, int, bool, float]] = []
        roots, depth = [], 0
        for tree in trees:
            roots.append(len(nodes))
            depth = max(depth, _flatten(tree["tree_structure"], nodes))
        columns = list(zip(*nodes, strict=True)) or [()] * 6
        names = ("feature", "threshold", "left", "right", "gap_left", "value")
        for name, column in zip(names, columns, strict=True):
            setattr(self, name, torch.tensor(column, dtype=getattr(self, name).dtype))
        self.roots = torch.tensor(roots, dtype=torch.int64)
        self.depth = torch.tensor(depth)


def _flatten(root: dict[str, Any], nodes: list[tuple[int, float, int, int, bool, float]]) -> int:
    """Append a tree's nodes; its depth."""
    first = len(nodes)
    order = list(_breadth_first(root))
    place = {id(node): first + i for i, (node, _) in enumerate(order)}
    for node, _ in order:
        at = place[id(node)]
        if "leaf_value" in node:
            nodes.append((0, 0.0, at, at, True, node["leaf_value"]))
            continue
        assert node["decision_type"] == "<=" and node["missing_type"] in ("None", "NaN")
        threshold = float(node["threshold"])
        # Where training had no gap, LightGBM reads one as 0.
        gap_left = node["default_left"] if node["missing_type"] == "NaN" else threshold >= 0
        left, right = place[id(node["left_child"])], place[id(node["right_child"])]
        nodes.append((node["split_feature"], threshold, left, right, gap_left, 0.0))
    return max(depth for _, depth in order)


def _breadth_first(root: dict[str, Any]) -> Iterator[tuple[dict[str, Any], int]]:
    level, depth = [root], 0
    while level:
        yield from ((node, depth) for node in level)
        inner = [node for node in level if "leaf_value" not in node]
        level = [node[c] for node in inner for c in ("left_child", "right_child")]
        depth += 1
