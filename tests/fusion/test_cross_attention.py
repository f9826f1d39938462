"""Streams that read each other."""

from __future__ import annotations

import pytest
import torch

from polymodal.base.errors import UserError
from polymodal.fusion.cross_attention import CrossAttention


def test_streams_read_each_other(make_tokens):
    fusion = CrossAttention(["a", "b"], 8).eval()
    tokens = make_tokens()
    before = fusion(tokens).tokens
    tokens["b"].values[0] *= -1
    after = fusion(tokens).tokens
    assert not torch.allclose(before["a"].values[0], after["a"].values[0])
    torch.testing.assert_close(before["a"].values[1:], after["a"].values[1:])


def test_an_absent_stream_adds_nothing_to_the_other(make_tokens):
    """Row 1 lacks b: its stream a must be what it is with the cross-attention taken out."""
    fusion = CrossAttention(["a", "b"], 8).eval()
    before = fusion(make_tokens()).tokens["a"].values
    with torch.no_grad():
        fusion.layers[0].blocks[0].cross.out.weight.zero_()
        fusion.layers[0].blocks[0].cross.out.bias.zero_()
    after = fusion(make_tokens()).tokens["a"].values
    torch.testing.assert_close(before[1], after[1])
    assert not torch.allclose(before[0], after[0])


def test_pooled_is_the_mean_of_the_present_streams(make_tokens):
    fused = CrossAttention(["a", "b"], 8).eval()(make_tokens())
    a, b = fused.tokens["a"].mean(), fused.tokens["b"].mean()
    wanted = torch.stack([(a[0] + b[0]) / 2, a[1], b[2], torch.zeros(8)])
    torch.testing.assert_close(fused.pooled, wanted)


def test_depth_and_dropout_take_effect(make_tokens):
    assert len(CrossAttention(["a", "b"], 8, depth=2).layers) == 2
    dropped = CrossAttention(["a", "b"], 8, dropout=0.5)
    assert not torch.equal(dropped(make_tokens()).pooled, dropped(make_tokens()).pooled)


def test_without_a_block_nothing_is_fused():
    with pytest.raises(UserError, match="leaves no block"):
        CrossAttention(["a", "b"], 8, depth=0)
