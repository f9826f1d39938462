"""The factors against the full tensor that they stand for."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from polymodal.base.errors import UserError
from polymodal.fusion import _pooling
from polymodal.fusion.low_rank import LowRank

LENGTHS = {"a": [3, 5, 0, 0], "b": [2, 0, 1, 0], "c": [1, 2, 4, 0]}


@pytest.mark.parametrize("rank", [1, 3])
def test_it_is_the_full_tensor_of_its_factors(rank, make_tokens):
    torch.manual_seed(0)
    fusion, tokens = LowRank(list("abc"), 8, rank=rank), make_tokens(lengths=LENGTHS)
    torch.nn.init.normal_(fusion.bias)
    views = F.pad(_pooling.normed(tokens, fusion.norms), (1, 0), value=1.0)
    product = torch.einsum("bi,bj,bk->bijk", *views.unbind(1))
    full = torch.einsum("rio,rjo,rko->ijko", *fusion.factors) / rank
    wanted = torch.einsum("bijk,ijko->bo", product, full) + fusion.bias
    fused = fusion(tokens)
    torch.testing.assert_close(fused.pooled[:3], wanted[:3], atol=1e-5, rtol=1e-5)
    assert (fused.pooled[3] == 0).all()


@pytest.mark.parametrize("count", [1, 2, 3, 6])
def test_products_start_neither_small_nor_large(count, make_tokens):
    torch.manual_seed(0)
    names = [str(i) for i in range(count)]
    fusion = LowRank(names, 32, rank=1)
    fused = fusion(make_tokens(32, lengths=dict.fromkeys(names, [1] * 300)))
    wanted = (1 + 1 / count) ** count
    assert fused.pooled.square().mean().item() == pytest.approx(wanted, rel=0.2)


def test_size_and_rank():
    fusion = LowRank(list("abc"), 8, rank=5)
    wanted = 3 * 5 * 9 * 8 + (2 * 3 + 1) * 8
    assert sum(p.numel() for p in fusion.parameters()) == wanted
    with pytest.raises(UserError, match="needs a rank"):
        LowRank(["a"], 8, rank=0)
