"""Trees: the usual one, given ones, what a node sees, and absent children."""

from __future__ import annotations

import pytest
import torch

from polymodal.base.errors import UserError
from polymodal.fusion import _pooling
from polymodal.fusion.hierarchical import Hierarchical

LENGTHS = {"a": [3, 5, 0, 0], "b": [2, 0, 1, 0], "c": [1, 2, 0, 0]}


@pytest.mark.parametrize(
    ("count", "groups"),
    [
        (1, [[0]]),
        (2, [[0, 1]]),
        (3, [[0, 1], [3, 2]]),
        (4, [[0, 1], [2, 3], [4, 5]]),
        (5, [[0, 1], [2, 3], [5, 6], [7, 4]]),
        (6, [[0, 1], [2, 3], [6, 7], [4, 5], [8, 9]]),
    ],
)
def test_neighbours_are_paired_then_pairs(count, groups):
    assert Hierarchical([str(i) for i in range(count)], 8).groups == groups


@pytest.mark.parametrize(
    ("order", "groups"),
    [
        (["a", "b", "c"], [[0, 1, 2]]),
        (["a", ["c", "b"]], [[2, 1], [0, 3]]),
        ([["a", "b"], ["a", "c"], ["b", "c"]], [[0, 1], [0, 2], [1, 2], [3, 4, 5]]),
    ],
)
def test_an_order_is_a_tree(order, groups):
    assert Hierarchical(list("abc"), 8, order=order).groups == groups


def test_it_is_its_nodes_one_after_another(make_tokens):
    """Row 0 has all, row 1 lacks b, row 2 has b alone, row 3 nothing."""
    torch.manual_seed(0)
    fusion, tokens = Hierarchical(list("abc"), 8), make_tokens(lengths=LENGTHS)
    pair, root = fusion.nodes
    a, b, c = _pooling.normed(tokens, fusion.norms).unbind(1)
    pairs = ((a[0], b[0]), (a[1], pair.absent[1]), (pair.absent[0], b[2]))
    seen = [pair.mlp(torch.cat(both)) for both in pairs]
    ab = [(a[0] + b[0]) / 2 + seen[0], a[1] + seen[1], b[2] + seen[2]]
    wanted = torch.stack(
        [
            (ab[0] + c[0]) / 2 + root.mlp(torch.cat([ab[0], c[0]])),
            (ab[1] + c[1]) / 2 + root.mlp(torch.cat([ab[1], c[1]])),
            ab[2] + root.mlp(torch.cat([ab[2], root.absent[1]])),
            torch.zeros(8),
        ]
    )
    torch.testing.assert_close(fusion(tokens).pooled, wanted)


def test_a_node_sees_only_what_is_below_it(make_tokens):
    fusion, tokens = Hierarchical(list("abc"), 8), make_tokens(lengths=LENGTHS)
    said = []
    fusion.nodes[0].register_forward_hook(lambda _, __, result: said.append(result))
    before = fusion(tokens).pooled
    tokens["c"].values *= -1
    after = fusion(tokens).pooled
    assert torch.equal(*said)
    assert not torch.allclose(before[:2], after[:2])


def test_the_order_changes_the_result(make_tokens):
    results = []
    for order in (["a", ["b", "c"]], [["a", "b"], "c"]):
        torch.manual_seed(0)
        fusion = Hierarchical(list("abc"), 8, order=order)
        results.append(fusion(make_tokens(lengths=LENGTHS)).pooled[0])
    assert not torch.allclose(*results)


def test_size():
    fusion = Hierarchical(list("abcde"), 8, order=[["a", "b", "c"], ["d", "e"]])
    wanted = sum((c + 1) * 64 + (3 * c + 2) * 8 for c in (3, 2, 2)) + 5 * 2 * 8
    assert sum(p.numel() for p in fusion.parameters()) == wanted


@pytest.mark.parametrize(
    ("order", "message"),
    [
        (["a", "b"], "leaves out c"),
        ("abc", "cannot be used"),
        (["a", "b", "d"], "cannot be used"),
        (["a", "b", ["c", []]], "cannot be used"),
        ([0, 1, 2], "cannot be used"),
    ],
)
def test_orders_are_checked(order, message):
    with pytest.raises(UserError, match=message):
        Hierarchical(list("abc"), 8, order=order)
