"""Means side by side, and a learned vector for what is absent."""

from __future__ import annotations

import torch

from polymodal.fusion.concat import Concat


def test_pooled_is_the_network_of_means_side_by_side(make_tokens):
    fusion = Concat(["a", "b"], 8)
    tokens = make_tokens()
    a, b = tokens["a"].values, tokens["b"].values
    rows = torch.stack(
        [
            torch.cat([a[0, :3].mean(0), b[0, :2].mean(0)]),
            torch.cat([a[1, :5].mean(0), fusion.absent[1]]),
            torch.cat([fusion.absent[0], b[2, 0]]),
        ]
    )
    pooled = fusion(tokens).pooled
    torch.testing.assert_close(pooled[:3], fusion.mlp(rows))
    assert (pooled[3] == 0).all()


def test_what_stands_for_an_absent_modality_is_learned(make_tokens):
    fusion = Concat(["a", "b"], 8)
    fusion(make_tokens()).pooled.square().sum().backward()
    assert (fusion.absent.grad.abs().sum(1) > 0).all()
    fusion.zero_grad()
    fusion(make_tokens(lengths={"a": [1, 2], "b": [2, 2]})).pooled.square().sum().backward()
    assert (fusion.absent.grad == 0).all()
