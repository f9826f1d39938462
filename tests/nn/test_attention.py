"""Parity with PyTorch's own attention, with both kernels, and rows without a key."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from polymodal.base import lookup
from polymodal.base.errors import UserError
from polymodal.nn import attention as kernels
from polymodal.nn.attention import Attention, Block
from polymodal.train.kernels import Kernels

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


def built(kernel: str) -> Attention:
    attention = Attention(8, 2)
    attention.attention = kernel
    return attention


@pytest.mark.parametrize("kernel", ["plain", "sdpa"])
def test_parity_with_torch(kernel):
    torch.manual_seed(0)
    ours = built(kernel)
    queries, keys = torch.randn(2, 3, 8), torch.randn(2, 4, 8)
    wanted, _ = like(ours, 8, 2)(queries, keys, keys, key_padding_mask=~MASK)
    torch.testing.assert_close(ours(queries, keys, MASK), wanted, atol=1e-6, rtol=1e-5)


def test_both_kernels_have_one_gradient():
    grads = []
    for kernel in ("plain", "sdpa"):
        torch.manual_seed(0)
        attention = built(kernel)
        keys = torch.randn(2, 4, 8)
        attention(torch.randn(2, 3, 8), keys, MASK).square().sum().backward()
        grads.append([p.grad for p in attention.parameters()])
    for plain, fused in zip(*grads, strict=True):
        torch.testing.assert_close(plain, fused, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("kernel", ["plain", "sdpa"])
@pytest.mark.parametrize("keys", [4, 0])
def test_a_row_without_a_key_gets_zeros_and_a_finite_gradient(kernel, keys):
    attention = built(kernel)
    queries = torch.randn(2, 3, 8, requires_grad=True)
    mask = torch.zeros(2, keys, dtype=torch.bool)
    mixed = attention(queries, torch.randn(2, keys, 8), mask)
    assert (mixed == 0).all()
    mixed.sum().backward()
    assert queries.grad.isfinite().all()
    assert all(p.grad is None or p.grad.isfinite().all() for p in attention.parameters())


@pytest.mark.parametrize("kernel", ["plain", "sdpa"])
def test_the_measured_kernel_is_the_one_that_computes(kernel, monkeypatch):
    block = Block(8, 2, 0.0, cross=True)
    Kernels(attention=kernel).apply(block)
    used = []
    for name in ("plain", "sdpa"):
        original = getattr(kernels, f"_{name}")
        monkeypatch.setattr(
            kernels, f"_{name}", lambda *given, n=name, o=original: used.append(n) or o(*given)
        )
    values = torch.randn(2, 4, 8)
    block(values, MASK, values, MASK)
    assert used == [kernel, kernel]


def test_no_component_has_a_kernel_to_choose():
    # `Kernels.apply` sets them all, so that an option of a component's own would change nothing.
    assert not [name for _, name, options in lookup.catalogue() if "attention=" in options]


def test_heads_must_divide_the_width():
    with pytest.raises(UserError, match="do not divide"):
        Attention(8, 3)
