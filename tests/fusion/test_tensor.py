"""The outer product against einsum, what it can represent, and how large it may be."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from polymodal.base.errors import UserError
from polymodal.contract.batch import Tokens
from polymodal.fusion.tensor import MOST, Tensor

LENGTHS = {"a": [3, 5, 0, 0], "b": [2, 0, 1, 0], "c": [1, 2, 0, 0]}


def test_the_product_is_that_of_einsum(make_tokens):
    fusion, tokens = Tensor(list("abc"), 8, size=3), make_tokens(lengths=LENGTHS)
    parts = []
    for name, norm, project in zip("abc", fusion.norms, fusion.projections, strict=True):
        h = project(norm(tokens[name].mean())).tanh() * tokens[name].present().unsqueeze(1)
        parts.append(F.pad(h, (1, 0), value=1.0))
    wanted = torch.einsum("bi,bj,bk->bijk", *parts)
    torch.testing.assert_close(fusion.product(tokens), wanted.flatten(1))
    pooled = fusion(tokens).pooled
    torch.testing.assert_close(pooled[:3], fusion.out(wanted[:3].flatten(1)))


def test_an_absent_modality_takes_away_only_what_contains_it(make_tokens):
    fusion = Tensor(list("abc"), 8, size=3)
    cube = fusion.product(make_tokens(lengths=LENGTHS)).unflatten(1, (4, 4, 4))
    assert (cube[1, :, 1:] == 0).all() and (cube[1, :, 0] != 0).all()
    assert cube[3].flatten().tolist() == [1.0] + [0.0] * 63


def test_xor_is_linear_in_the_product_but_not_in_the_sum():
    torch.manual_seed(0)
    bits = torch.tensor([[0, 0], [0, 1], [1, 0], [1, 1]])
    xor = (bits[:, 0] ^ bits[:, 1]).float().unsqueeze(1)
    known = torch.ones(4, 1, dtype=torch.bool)
    values = [torch.randn(2, 1, 8)[bits[:, i]] for i in range(2)]
    tokens = {name: Tokens(v, known) for name, v in zip("ab", values, strict=True)}

    def worst(features: torch.Tensor) -> float:
        features = torch.cat([features, torch.ones(4, 1)], 1)
        fitted = features @ torch.linalg.pinv(features) @ xor
        return (fitted - xor).abs().max().item()

    with torch.no_grad():
        assert worst(Tensor(["a", "b"], 8, size=2).product(tokens)) < 1e-3
    # A sum of linear functions of two bits says 1/2 to all four.
    assert worst(values[0][:, 0] + values[1][:, 0]) == pytest.approx(0.5, abs=1e-4)
    assert worst(torch.cat([v[:, 0] for v in values], 1)) == pytest.approx(0.5, abs=1e-4)


@pytest.mark.parametrize(
    ("count", "size"), [(1, 64), (2, 63), (3, 15), (4, 7), (5, 4), (6, 3), (12, 1), (16, 1)]
)
def test_the_usual_size(count, size):
    fusion = Tensor([str(i) for i in range(count)], 64)
    assert fusion.projections[0].out_features == size
    assert fusion.out.in_features == (size + 1) ** count
    parameters = count * (2 * 64 + 65 * size) + ((size + 1) ** count + 1) * 64
    assert sum(p.numel() for p in fusion.parameters()) == parameters


def test_sizes_are_checked():
    assert Tensor(list("abc"), 2, size=39).out.in_features == 64_000 <= MOST
    for count, size in ((3, 40), (17, None), (2, 0)):
        with pytest.raises(UserError, match="outer product") as error:
            Tensor([str(i) for i in range(count)], 2, size=size)
        assert "low_rank" in str(error.value)
