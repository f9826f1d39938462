"""Parity with PyTorch's own attention, with both kernels, and rows without a key."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from polymodal.attention import PLAIN_UP_TO, Attention
from polymodal.errors import UserError

MASK = torch.tensor([[True, True, False, True], [True, False, False, False]])


def like(ours: Attention, width: int, heads: int) -> nn.MultiheadAttention:
    """PyTorch's attention with our weights."""
    theirs = nn.MultiheadAttention(width, heads, batch_first=True)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([ours.query.weight, ours.key_value.weight]))
        theirs.in_proj_bias.zero_()
        theirs.out_proj.weight.copy_(ours.out.weight)
        theirs.out_proj.bias.copy_(ours.out.bias)
    return theirs


@pytest.mark.parametrize("kernel", ["plain", "sdpa"])
def test_parity_with_torch(kernel):
    torch.manual_seed(0)
    ours = Attention(8, 2, kernel)
    queries, keys = torch.randn(2, 3, 8), torch.randn(2, 4, 8)
    wanted, _ = like(ours, 8, 2)(queries, keys, keys, key_padding_mask=~MASK)
    torch.testing.assert_close(ours(queries, keys, MASK), wanted, atol=1e-6, rtol=1e-5)


def test_both_kernels_have_one_gradient():
    grads = []
    for kernel in ("plain", "sdpa"):
        torch.manual_seed(0)
        attention = Attention(8, 2, kernel)
        keys = torch.randn(2, 4, 8)
        attention(torch.randn(2, 3, 8), keys, MASK).square().sum().backward()
        grads.append([p.grad for p in attention.parameters()])
    for plain, fused in zip(*grads, strict=True):
        torch.testing.assert_close(plain, fused, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("kernel", ["plain", "sdpa"])
@pytest.mark.parametrize("keys", [4, 0])
def test_a_row_without_a_key_gets_zeros_and_a_finite_gradient(kernel, keys):
    attention = Attention(8, 2, kernel)
    queries = torch.randn(2, 3, 8, requires_grad=True)
    mask = torch.zeros(2, keys, dtype=torch.bool)
    mixed = attention(queries, torch.randn(2, keys, 8), mask)
    assert (mixed == 0).all()
    mixed.sum().backward()
    assert queries.grad.isfinite().all()
    assert all(p.grad is None or p.grad.isfinite().all() for p in attention.parameters())


def test_auto_is_plain_for_short_keys_in_bf16_only():
    attention = Attention(8, 2, "auto")
    short = torch.zeros(1, 2, PLAIN_UP_TO, 4, dtype=torch.bfloat16)
    assert attention._is_plain(short)
    assert not attention._is_plain(short.float())
    assert not attention._is_plain(torch.cat([short, short[:, :, :1]], 2))


def test_the_kernel_can_be_set_from_outside():
    attention = Attention(8, 2, "auto")
    attention.attention = "plain"
    assert attention._is_plain(torch.zeros(1, 2, 4, 4))


@pytest.mark.parametrize(
    ("heads", "kernel", "message"), [(3, "plain", "do not divide"), (2, "flash", "no attention")]
)
def test_options_are_checked(heads, kernel, message):
    with pytest.raises(UserError, match=message):
        Attention(8, heads, kernel)
