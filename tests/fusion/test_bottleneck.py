"""What one stream tells another passes through the bottleneck tokens, and through nothing else."""

from __future__ import annotations

import pytest
import torch

from polymodal.base.errors import UserError
from polymodal.fusion import _pooling
from polymodal.fusion.bottleneck import Bottleneck

BOTH = {"a": [3, 2], "b": [2, 4]}


def reached(result: torch.Tensor, source: torch.Tensor) -> bool:
    """Whether any gradient of `result` reaches `source`."""
    weight = torch.randn(result.shape, generator=torch.Generator().manual_seed(0))
    if not result.requires_grad:
        return False
    (grad,) = torch.autograd.grad(
        (result * weight).sum(), source, allow_unused=True, retain_graph=True
    )
    return grad is not None and bool((grad != 0).any())


def test_streams_meet_only_in_the_bottleneck(make_tokens):
    fusion, tokens = Bottleneck(["a", "b"], 8).eval(), make_tokens(lengths=BOTH)
    a, b = (t.values.requires_grad_() for t in tokens.values())
    masks = [t.mask for t in tokens.values()]
    present = _pooling.present(tokens)
    shared = fusion.bottleneck.expand(2, -1, -1)
    first, second = fusion.layers
    apart, nothing = first([a, b], masks, shared[:, :0], present)
    assert nothing.shape == (2, 0, 8)
    assert reached(apart[0], a) and not reached(apart[0], b) and not reached(apart[1], a)
    streams, told = first([a, b], masks, shared, present)
    assert reached(told, a) and reached(told, b) and not reached(streams[0], b)
    after, _ = second(streams, masks, told, present)
    assert reached(after[0], b) and reached(after[1], a)
    cut, _ = second(streams, masks, told.detach(), present)
    assert reached(cut[0], a) and not reached(cut[0], b)


@pytest.mark.parametrize(("depth", "start"), [(2, 0), (3, 1)])
def test_streams_meet_two_blocks_after_the_start(depth, start, make_tokens):
    fusion = Bottleneck(["a", "b"], 8, depth=depth, start=start).eval()
    tokens = make_tokens(lengths=BOTH)
    b = tokens["b"].values.requires_grad_()
    assert reached(fusion(tokens).tokens["a"].values, b)
    # One block is too late: its bottleneck tokens are read by nobody.
    fusion.start += 1
    assert not reached(fusion(tokens).tokens["a"].values, b)


def test_the_bottleneck_is_averaged_over_what_is_present(make_tokens):
    fusion, tokens = Bottleneck(["a", "b"], 8).eval(), make_tokens()
    streams, masks = [t.values for t in tokens.values()], [t.mask for t in tokens.values()]
    shared = fusion.bottleneck.expand(4, -1, -1)
    layer, present = fusion.layers[0], _pooling.present(tokens)
    _, both = layer(streams, masks, shared, present)
    _, of_a = layer(streams, masks, shared, torch.tensor([[True, False]] * 4))
    _, of_b = layer(streams, masks, shared, torch.tensor([[False, True]] * 4))
    torch.testing.assert_close(both[0], (of_a[0] + of_b[0]) / 2)
    torch.testing.assert_close(both[1], of_a[1])
    torch.testing.assert_close(both[2], of_b[2])
    assert not torch.allclose(of_a[0], of_b[0])


def test_pooled_is_the_mean_of_the_present_streams(make_tokens):
    fused = Bottleneck(["a", "b"], 8).eval()(make_tokens())
    a, b = fused.tokens["a"].mean(), fused.tokens["b"].mean()
    wanted = torch.stack([(a[0] + b[0]) / 2, a[1], b[2], torch.zeros(8)])
    torch.testing.assert_close(fused.pooled, wanted)


@pytest.mark.parametrize(("depth", "tokens"), [(2, 4), (3, 1)])
def test_size(depth, tokens):
    fusion = Bottleneck(list("abc"), 8, depth=depth, tokens=tokens)
    wanted = depth * 3 * (12 * 64 + 10 * 8) + (3 * 3 + tokens) * 8
    assert sum(p.numel() for p in fusion.parameters()) == wanted


def test_options_take_effect_or_are_refused(make_tokens):
    dropped = Bottleneck(["a", "b"], 8, dropout=0.5)
    assert not torch.equal(dropped(make_tokens()).pooled, dropped(make_tokens()).pooled)
    for options in ({"depth": 1}, {"start": 1}, {"start": -1}, {"tokens": 0}):
        with pytest.raises(UserError, match="would never meet"):
            Bottleneck(["a", "b"], 8, **options)
