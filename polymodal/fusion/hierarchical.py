"""Hierarchical fusion: modalities are fused in small groups, and groups in larger ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from polymodal.base.errors import UserError
from polymodal.contract.batch import Fused, Tokens
from polymodal.contract.fusion import Fusion
from polymodal.fusion import _pooling


class Hierarchical(Fusion):
    """A tree whose leaves are the modalities' masked means and whose nodes fuse their children.

    A node is the mean of its present children plus an MLP of all of them side by side, a learned
    vector for an absent one; a node without a present child is absent itself. The root is the
    pooled vector. Neighbours: `concat` is one node.
    Paper: "Multimodal Sentiment Analysis using Hierarchical Fusion with Context Modeling"
    (Majumder 2018), which fuses every pair, then the pairs.

    A node of c children has (c + 1) w^2 + (3 c + 2) w parameters for the width w, and every
    modality 2 w.

    Args:
        names: modalities, in the order of the tokens.
        width: of tokens and result.
        order: nested lists of names, one list a node: [[picture, text], table] fuses picture and
            text first. A name may stand in several groups; Majumder's order of three is
            [[a, b], [a, c], [b, c]]. By default neighbours are paired, then pairs.
    """

    def __init__(
        self, names: Sequence[str], width: int, *, order: Sequence[Any] | None = None
    ) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in names)
        self.groups: list[list[int]] = []
        _plant(_pairs(names) if order is None else order, names, self.groups)
        _check_complete(self.groups, names)
        self.nodes = nn.ModuleList(Node(len(group), width) for group in self.groups)

    def forward(self, tokens: dict[str, Tokens]) -> Fused:
        present = _pooling.present(tokens)
        # Leaves, then nodes: a group holds positions in these lists.
        views = list(_pooling.normed(tokens, self.norms).unbind(1))
        there = list(present.unbind(1))
        for group, node in zip(self.groups, self.nodes, strict=True):
            known = torch.stack([there[i] for i in group], 1)
            views.append(node(torch.stack([views[i] for i in group], 1), known))
            there.append(known.any(1))
        return Fused(_pooling.only_present(views[-1], present), tokens)


class Node(nn.Module):
    """Children `(batch, children, width)`, present `(batch, children)` -> `(batch, width)`."""

    def __init__(self, children: int, width: int) -> None:
        super().__init__()
        self.absent = nn.Parameter(0.02 * torch.randn(children, width))
        self.mlp = _pooling.mlp(children * width, width)

    def forward(self, views: Tensor, present: Tensor) -> Tensor:
        present = present.unsqueeze(-1)
        mean = torch.where(present, views, 0).sum(1) / present.sum(1).clamp(min=1)
        return mean + self.mlp(torch.where(present, views, self.absent).flatten(1))


def _pairs(names: Sequence[str]) -> Sequence[Any]:
    """Neighbours in pairs, the pairs in pairs, until two are left (or one)."""
    level: list[Any] = list(names)
    while len(level) > 2:
        level = [level[i : i + 2] if level[i + 1 :] else level[i] for i in range(0, len(level), 2)]
    return level


def _plant(order: Any, names: Sequence[str], groups: list[list[int]]) -> int:
    """Append the groups of `order`, children first, and return the position of its own."""
    if isinstance(order, str) and order in names:
        return list(names).index(order)
    if isinstance(order, str) or not isinstance(order, Sequence) or not order:
        raise UserError(
            "The order of fusion 'hierarchical' cannot be used",
            expected=f"nested lists of {', '.join(names)}",
            got=repr(order),
        )
    groups.append([_plant(child, names, groups) for child in order])
    return len(names) + len(groups) - 1


def _check_complete(groups: list[list[int]], names: Sequence[str]) -> None:
    used = {child for group in groups for child in group}
    left = [name for i, name in enumerate(names) if i not in used]
    if left:
        raise UserError(
            f"The order of fusion 'hierarchical' leaves out {', '.join(left)}",
            expected="every modality in a group",
            do="add them to the outermost list, or leave the order out",
        )
