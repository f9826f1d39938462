"""Parity with PyTorch's Transformer, and one sequence of all tokens."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from polymodal.base.errors import UserError
from polymodal.fusion.early import Early


def test_parity_with_torch(make_tokens):
    torch.manual_seed(0)
    ours = Early(["a", "b"], 8, depth=1, heads=2).eval()
    block = ours.blocks[0]
    theirs = nn.TransformerEncoderLayer(
        8, 2, 32, activation="gelu", batch_first=True, norm_first=True
    ).eval()
    with torch.no_grad():
        theirs.self_attn.in_proj_weight.copy_(
            torch.cat([block.attention.query.weight, block.attention.key_value.weight])
        )
        theirs.self_attn.in_proj_bias.zero_()
        theirs.self_attn.out_proj.load_state_dict(block.attention.out.state_dict())
        theirs.norm1.load_state_dict(block.attention_norm.state_dict())
        theirs.norm2.load_state_dict(block.mlp[0].state_dict())
        theirs.linear1.load_state_dict(block.mlp[1].state_dict())
        theirs.linear2.load_state_dict(block.mlp[3].state_dict())
    tokens = make_tokens(lengths={"a": [3, 5, 1], "b": [2, 0, 1]})
    values = torch.cat([t.values + ours.modality[i] for i, t in enumerate(tokens.values())], 1)
    mask = torch.cat([t.mask for t in tokens.values()], 1)
    wanted = ours.norm(theirs(values, src_key_padding_mask=~mask))
    fused = ours(tokens)
    after = torch.cat([t.values for t in fused.tokens.values()], 1)
    torch.testing.assert_close(after[mask], wanted[mask], atol=1e-5, rtol=1e-5)
    for row in range(3):
        torch.testing.assert_close(fused.pooled[row], wanted[row][mask[row]].mean(0))


def test_tokens_read_the_other_modality(make_tokens):
    fusion = Early(["a", "b"], 8, depth=1).eval()
    tokens = make_tokens()
    before = fusion(tokens).tokens["a"].values
    tokens["b"].values[0] *= -1
    after = fusion(tokens).tokens["a"].values
    assert not torch.allclose(before[0], after[0])
    torch.testing.assert_close(before[1:], after[1:])


def test_depth_and_dropout_take_effect(make_tokens):
    tokens = make_tokens()
    assert len(Early(["a", "b"], 8, depth=3).blocks) == 3
    dropped = Early(["a", "b"], 8, dropout=0.5)
    assert not torch.equal(dropped(tokens).pooled, dropped(tokens).pooled)
    kept = Early(["a", "b"], 8, dropout=0.0)
    assert torch.equal(kept(tokens).pooled, kept(tokens).pooled)


def test_without_a_block_nothing_is_fused():
    with pytest.raises(UserError, match="leaves no block"):
        Early(["a", "b"], 8, depth=0)
