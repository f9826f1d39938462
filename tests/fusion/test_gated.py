"""The paper's unit for two modalities, and gates that ignore what is absent."""

from __future__ import annotations

import torch

from polymodal.fusion.gated import Gated


def test_two_modalities_are_the_papers_unit(make_tokens):
    """h = z * tanh(W_a a) + (1 - z) * tanh(W_b b), z = sigmoid of a linear function of both."""
    torch.manual_seed(0)
    fusion = Gated(["a", "b"], 8)
    tokens = make_tokens(lengths={"a": [3, 1], "b": [2, 2]})
    a, b = (norm(tokens[name].mean()) for norm, name in zip(fusion.norms, "ab", strict=True))
    score_a, score_b = fusion.gates(torch.cat([a, b], 1)).chunk(2, 1)
    z = (score_a - score_b).sigmoid()
    wanted = z * fusion.contents[0](a).tanh() + (1 - z) * fusion.contents[1](b).tanh()
    fused = fusion(tokens)
    torch.testing.assert_close(fused.pooled, wanted)
    torch.testing.assert_close(fused.weights, torch.stack([z.mean(1), 1 - z.mean(1)], 1))


def test_absent_modalities_get_no_gate(make_tokens):
    fused = Gated(["a", "b"], 8)(make_tokens())
    assert fused.weights[1].tolist() == [1, 0] and fused.weights[2].tolist() == [0, 1]
    assert (fused.pooled[3] == 0).all() and (fused.pooled[:3] != 0).any(1).all()
