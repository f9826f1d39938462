"""Latents are a set and so are tokens; modalities are told apart; tokens read the latents."""

from __future__ import annotations

import pytest
import torch

from polymodal.base.errors import UserError
from polymodal.contract.batch import Tokens
from polymodal.fusion.perceiver import Perceiver

BOTH = {"a": [3, 3], "b": [3, 2]}


def built(**options) -> Perceiver:
    torch.manual_seed(0)
    fusion = Perceiver(["a", "b"], 8, **options).eval()
    # Embeddings as large as tokens, so that what depends on them shows.
    torch.nn.init.normal_(fusion.modality)
    torch.nn.init.normal_(fusion.latents)
    return fusion


@torch.no_grad()
def test_the_order_of_latents_is_nothing(make_tokens):
    fusion, tokens = built(latents=5), make_tokens()
    before = fusion(tokens)
    fusion.latents.copy_(fusion.latents[torch.tensor([3, 0, 4, 1, 2])])
    after = fusion(tokens)
    torch.testing.assert_close(after.pooled, before.pooled)
    torch.testing.assert_close(after.tokens["b"].values, before.tokens["b"].values)
    fusion.latents[0] = 1 - fusion.latents[0]
    assert not torch.allclose(fusion(tokens).pooled[0], before.pooled[0])


@torch.no_grad()
def test_the_order_of_tokens_is_nothing(make_tokens):
    fusion, tokens = built(), make_tokens(lengths=BOTH)
    before = fusion(tokens)
    order = torch.tensor([2, 0, 1])
    tokens["a"] = Tokens(tokens["a"].values[:, order], tokens["a"].mask[:, order])
    after = fusion(tokens)
    torch.testing.assert_close(after.pooled, before.pooled)
    torch.testing.assert_close(after.tokens["a"].values, before.tokens["a"].values[:, order])


@torch.no_grad()
def test_modalities_are_told_apart_by_their_embedding(make_tokens):
    fusion, tokens = built(), make_tokens(lengths={"a": [3], "b": [3]})
    swapped = {"a": tokens["b"], "b": tokens["a"]}
    assert not torch.allclose(fusion(tokens).pooled, fusion(swapped).pooled)
    fusion.modality[1] = fusion.modality[0]
    torch.testing.assert_close(fusion(tokens).pooled, fusion(swapped).pooled)


@torch.no_grad()
def test_tokens_read_the_latents(make_tokens):
    fusion, tokens = built(), make_tokens()
    before = fusion(tokens).tokens["a"].values
    tokens["b"].values[0] *= -1
    after = fusion(tokens).tokens["a"].values
    assert not torch.allclose(before[0], after[0])
    torch.testing.assert_close(before[1:], after[1:])
    fusion.read.out.weight.zero_()
    fusion.read.out.bias.zero_()
    x = tokens["a"]
    wanted = (x.values + fusion.modality[0]) * x.mask.unsqueeze(-1)
    torch.testing.assert_close(fusion(tokens).tokens["a"].values, wanted)


@pytest.mark.parametrize(("depth", "latents"), [(2, 8), (1, 3)])
def test_size(depth, latents):
    fusion = Perceiver(list("abc"), 8, depth=depth, latents=latents)
    wanted = depth * (16 * 64 + 15 * 8) + 4 * 64 + (3 + latents + 5) * 8
    assert sum(p.numel() for p in fusion.parameters()) == wanted


def test_options_take_effect_or_are_refused(make_tokens):
    dropped = Perceiver(["a", "b"], 8, dropout=0.5)
    assert not torch.equal(dropped(make_tokens()).pooled, dropped(make_tokens()).pooled)
    for options, what in (({"latents": 0}, "needs latents"), ({"depth": 0}, "leaves no block")):
        with pytest.raises(UserError, match=what):
            Perceiver(["a", "b"], 8, **options)
