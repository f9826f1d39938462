"""Shares of the experts: who gets them, and that nobody starves."""

from __future__ import annotations

import math

import pytest
import torch

from polymodal.base.errors import UserError
from polymodal.fusion.moe import Moe


def test_it_is_the_mixture_of_its_experts(make_tokens):
    torch.manual_seed(0)
    fusion, tokens = Moe(["a", "b"], 8, experts=3, sharpness=5.0), make_tokens()
    a, b = (n(tokens[name].mean()) for n, name in zip(fusion.norms, "ab", strict=True))
    absent = fusion.absent
    rows = [torch.cat(r) for r in ((a[0], b[0]), (a[1], absent[1]), (absent[0], b[2]))]
    wanted = []
    for x in rows:
        cosines = torch.stack([x @ r / (x.norm() * r.norm()) for r in fusion.router])
        shares = (5 * cosines).exp() / (5 * cosines).exp().sum()
        wanted.append(sum(s * e(x) for s, e in zip(shares, fusion.experts, strict=True)))
    torch.testing.assert_close(fusion(tokens).pooled[:3], torch.stack(wanted))


@pytest.mark.parametrize(("experts", "sharpness"), [(2, 1.0), (4, 2.0), (6, 0.5)])
def test_no_share_is_below_the_bound(experts, sharpness):
    fusion = Moe(["a", "b"], 8, experts=experts, sharpness=sharpness)
    views = torch.randn(1, 16)
    with torch.no_grad():
        # As large as it likes: all experts but the first wanted, the first shunned.
        fusion.router.copy_(1e6 * views.expand(experts, -1))
        fusion.router[0] *= -1
    bound = 1 / (1 + (experts - 1) * math.exp(2 * sharpness))
    shares = fusion.shares(views)[0].tolist()
    assert shares[0] == pytest.approx(bound, rel=1e-4)
    assert shares[1:] == pytest.approx([(1 - bound) / (experts - 1)] * (experts - 1))


def test_shares_depend_on_what_is_present(make_tokens):
    torch.manual_seed(0)
    fusion = Moe(["a", "b"], 8)
    seen = []
    fusion.experts[0].register_forward_hook(lambda _, given, __: seen.append(given[0]))
    tokens = make_tokens(lengths={"a": [2, 2], "b": [3, 0]})
    tokens["a"].values[1] = tokens["a"].values[0]
    fusion(tokens)
    both, only_a = fusion.shares(seen[0])
    assert (both - only_a).abs().max() > 0.02


def test_sharpness_decides_how_unequal_shares_are():
    torch.manual_seed(0)
    views = torch.randn(5, 8)
    torch.manual_seed(1)
    flat = Moe(["a"], 8, sharpness=1e-6).shares(views)
    torch.testing.assert_close(flat, torch.full((5, 4), 0.25))
    torch.manual_seed(1)
    sharp = Moe(["a"], 8, sharpness=50.0).shares(views)
    assert (sharp.amax(1) > 0.9).any()


def test_size_and_options():
    fusion = Moe(list("abc"), 8, experts=5)
    wanted = 5 * (3 * 64 + 64 + 3 * 3 * 8 + 2 * 8) + 3 * 3 * 8
    assert sum(p.numel() for p in fusion.parameters()) == wanted
    for options in ({"experts": 1}, {"sharpness": 0.0}, {"sharpness": math.nan}):
        with pytest.raises(UserError, match="needs several experts"):
            Moe(["a"], 8, **options)
