"""Weights that are learned, drawn and chosen, or given."""

from __future__ import annotations

import pytest
import torch

from polymodal.base.errors import UserError
from polymodal.fusion.weighted import Weighted


def test_given_weights_are_renormalised_over_what_is_present(make_tokens):
    fusion = Weighted(["a", "b"], 8, weights=[3, 1])
    tokens = make_tokens()
    fused = fusion(tokens)
    assert fused.weights.tolist() == [pytest.approx([0.75, 0.25]), [1, 0], [0, 1], [0.5, 0.5]]
    a, b = tokens["a"].values, tokens["b"].values
    mixed = torch.stack([0.75 * a[0, :3].mean(0) + 0.25 * b[0, :2].mean(0), a[1].mean(0), b[2, 0]])
    torch.testing.assert_close(fused.pooled[:3], fusion.mlp(mixed))
    assert (fused.pooled[3] == 0).all()
    assert fusion.alpha is None
    assert not any("weights" in name for name, _ in fusion.named_parameters())


def test_learned_weights_learn(make_tokens):
    fusion = Weighted(["a", "b"], 8)
    fusion(make_tokens()).pooled.square().sum().backward()
    assert (fusion.log_weights.grad != 0).all()
    assert fusion.alpha is None


def test_validation_weights_are_drawn_uniformly_in_training(make_tokens):
    fusion = Weighted(["a", "b", "c"], 8, weights="validation").train()
    tokens = make_tokens(lengths={"a": [1], "b": [1], "c": [2]})
    torch.manual_seed(0)
    drawn = torch.cat([fusion(tokens).weights for _ in range(2000)])
    torch.testing.assert_close(drawn.sum(1), torch.ones(2000))
    # Each weight of Dirichlet(1, 1, 1) is Beta(1, 2): mean 1/3, variance 1/18.
    assert drawn.mean(0).tolist() == pytest.approx([1 / 3] * 3, abs=0.02)
    assert drawn.var(0).tolist() == pytest.approx([1 / 18] * 3, abs=0.006)


def test_validation_weights_are_alphas_in_evaluation(make_tokens):
    fusion = Weighted(["a", "b"], 8, weights="validation").eval()
    tokens = make_tokens()
    equal = fusion(tokens)
    assert equal.weights[0].tolist() == [0.5, 0.5]
    fusion.alpha.copy_(torch.tensor([0.9, 0.1]).log())
    chosen = fusion(tokens)
    assert chosen.weights[0].tolist() == pytest.approx([0.9, 0.1])
    assert not torch.allclose(equal.pooled[0], chosen.pooled[0])
    again = Weighted(["a", "b"], 8, weights="validation").eval()
    again.load_state_dict(fusion.state_dict())
    torch.testing.assert_close(again(tokens).pooled, chosen.pooled)


@pytest.mark.parametrize("weights", ["equal", [1.0], [0, 0], [1, -1], [1, float("nan")]])
def test_weights_are_checked(weights):
    with pytest.raises(UserError, match="cannot be used"):
        Weighted(["a", "b"], 8, weights=weights)
