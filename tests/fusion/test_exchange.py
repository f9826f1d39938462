"""Gates across streams: the paper's module, gates of one, and absent modalities."""

from __future__ import annotations

import pytest
import torch

from polymodal.base.errors import UserError
from polymodal.fusion.exchange import Exchange


def test_the_layer_is_the_papers_module(make_tokens):
    """Z = relu(W [S_a, S_b] + b), E_m = W_m Z + b_m, streams times 2 sigmoid(E_m)."""
    torch.manual_seed(0)
    layer = Exchange(["a", "b"], 8).eval().layers[0]
    tokens = make_tokens(lengths={"a": [3, 1], "b": [2, 4]})
    squeezed = [n(tokens[name].mean()) for n, name in zip(layer.norms, "ab", strict=True)]
    joint = (torch.cat(squeezed, 1) @ layer.squeeze.weight.T + layer.squeeze.bias).clamp(min=0)
    assert joint.shape == (2, 4)
    after = layer(tokens)
    for i, name in enumerate("ab"):
        own = slice(8 * i, 8 * (i + 1))
        excited = joint @ layer.excite.weight[own].T + layer.excite.bias[own]
        x = tokens[name].values * 2 / (1 + (-excited).exp()).unsqueeze(1)
        wanted = (x + layer.mlps[i](x)) * tokens[name].mask.unsqueeze(-1)
        torch.testing.assert_close(after[name].values, wanted)


def test_without_excitation_gates_are_one_and_streams_apart(make_tokens):
    fusion = Exchange(["a", "b"], 8).eval()
    tokens = make_tokens()
    other = make_tokens()
    other["b"].values *= -2
    before, after = fusion(tokens).tokens["a"].values, fusion(other).tokens["a"].values
    assert not torch.allclose(before[0], after[0])
    torch.testing.assert_close(before[1:], after[1:])
    torch.nn.init.zeros_(fusion.layers[0].excite.weight)
    torch.nn.init.zeros_(fusion.layers[0].excite.bias)
    alone = fusion(tokens).tokens["a"]
    torch.testing.assert_close(alone.values, fusion(other).tokens["a"].values)
    x = tokens["a"].values
    wanted = (x + fusion.layers[0].mlps[0](x)) * tokens["a"].mask.unsqueeze(-1)
    torch.testing.assert_close(alone.values, wanted)


def test_an_absent_modality_squeezes_to_nothing(make_tokens):
    fusion, tokens = Exchange(["a", "b"], 8).eval(), make_tokens()
    before = fusion(tokens).pooled
    with torch.no_grad():
        fusion.layers[0].squeeze.weight[:, 8:] = 9.0
    after = fusion(tokens).pooled
    torch.testing.assert_close(before[1], after[1])
    assert not torch.allclose(before[0], after[0])


@pytest.mark.parametrize(("depth", "ratio"), [(1, 4), (2, 4), (1, 24)])
def test_size(depth, ratio):
    fusion = Exchange(list("abc"), 8, depth=depth, ratio=ratio)
    s = 24 // ratio
    wanted = depth * (2 * 24 * s + s + 3 * (2 * 64 + 7 * 8))
    assert sum(p.numel() for p in fusion.parameters()) == wanted


def test_options_take_effect_or_are_refused(make_tokens):
    dropped = Exchange(["a", "b"], 8, dropout=0.5)
    assert not torch.equal(dropped(make_tokens()).pooled, dropped(make_tokens()).pooled)
    for options in ({"ratio": 0}, {"ratio": 17}, {"depth": 0}):
        with pytest.raises(UserError):
            Exchange(["a", "b"], 8, **options)
