"""The network of the sum of means."""

from __future__ import annotations

import torch

from polymodal.fusion.sum import Sum


def test_pooled_is_the_network_of_the_sum(make_tokens):
    fusion = Sum(["a", "b"], 8)
    tokens = make_tokens()
    a, b = tokens["a"].values, tokens["b"].values
    sums = torch.stack([a[0, :3].mean(0) + b[0, :2].mean(0), a[1, :5].mean(0), b[2, 0]])
    pooled = fusion(tokens).pooled
    torch.testing.assert_close(pooled[:3], fusion.mlp(sums))
    assert (pooled[3] == 0).all()
