"""The cache: what it holds, that it does not move, and which layers have it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from transformers import DynamicLayer, EncoderDecoderCache, LlamaConfig, MistralConfig

from polymodal.nn import caching
from polymodal.nn.caching import Roomy, cache

SIZE = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}


def parts(rows: int, *lengths: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Keys and values of several passes; values of another width."""
    torch.manual_seed(0)
    return [(torch.randn(rows, 2, n, 6), torch.randn(rows, 2, n, 4)) for n in lengths]


def test_it_holds_what_joined_tensors_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    """Over several rooms, and after rows were chosen, some of them twice."""
    monkeypatch.setattr(caching, "PLACES", 4)
    own, joined = Roomy(), DynamicLayer()
    for given in parts(3, 5, 1, 1, 1, 1, 1, 1):
        for one, other in zip(own.update(*given), joined.update(*given), strict=True):
            assert torch.equal(one, other)
    order = torch.tensor([2, 0, 2, 1])
    for layer in (own, joined):
        layer.batch_select_indices(order)
    assert torch.equal(own.keys, joined.keys) and own.get_seq_length() == 11
    for given in parts(4, 1, 2, 7):
        for one, other in zip(own.update(*given), joined.update(*given), strict=True):
            assert torch.equal(one, other)


CHANGES: dict[str, Callable[[DynamicLayer], None]] = {
    "reorder": lambda layer: layer.reorder_cache(torch.tensor([2, 0, 1])),
    "crop": lambda layer: layer.crop(-2),
    "reset": lambda layer: layer.reset(),
    "crop, then select": lambda layer: (
        layer.crop(-1),
        layer.batch_select_indices(torch.tensor([1, 1, 2])),
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_else_a_layer_can_do_holds_here_too(change: str) -> None:
    own, joined = Roomy(), DynamicLayer()
    for i, given in enumerate(parts(3, 5, 1, 1, 2)):
        if i == 2:
            for layer in (own, joined):
                CHANGES[change](layer)
        for one, other in zip(own.update(*given), joined.update(*given), strict=True):
            assert torch.equal(one, other)


def test_a_place_more_moves_no_other() -> None:
    own, places = Roomy(), set()
    for given in parts(2, 5, *[1] * 50):
        keys, values = own.update(*given)
        places.add((keys.data_ptr(), values.data_ptr()))
    assert keys.shape[2] == 55 and len(places) == 1


def test_layers_of_a_window_have_their_own() -> None:
    plain = LlamaConfig(**SIZE)
    assert [type(layer) for layer in cache(plain, False).layers] == [Roomy, Roomy]
    window = cache(MistralConfig(**SIZE, num_key_value_heads=2, sliding_window=4), False)
    assert all(layer.is_sliding for layer in window.layers)
    both = cache(plain, True)
    assert isinstance(both, EncoderDecoderCache)
    assert isinstance(both.self_attention_cache.layers[0], Roomy)
    assert not isinstance(both.cross_attention_cache.layers[0], Roomy)
