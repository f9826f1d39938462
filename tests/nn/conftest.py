"""Small decoders of random weights, and prompts with masked places."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from polymodal.base import lookup
from polymodal.nn.decoder import Decoder, Prompt

PIECES, WIDTH = 40, 16


@pytest.fixture
def built() -> Callable[..., Decoder]:
    """`built(name, crosses, **options)`: of PIECES pieces, WIDTH wide unless told otherwise."""

    def make(name: str, crosses: bool = False, **options) -> Decoder:
        torch.manual_seed(0)
        spec = {"name": name, "hidden": WIDTH, "depth": 2, "heads": 2, "context": 64, **options}
        spec |= {} if name == "gpt2" else {"groups": 1}
        found = lookup.build("nn/decoders", spec, PIECES, crosses).eval()
        with torch.no_grad():
            for parameter in found.parameters():
                # Untrained ones are near zero, where a mistake would not show.
                parameter.add_(0.2 * torch.randn_like(parameter))
        return found

    return make


@pytest.fixture
def prompt() -> Callable[..., Prompt]:
    """`prompt(rows, length, crosses)`: random vectors, some masked, never the last."""

    def make(rows: int, length: int, crosses: bool = False) -> Prompt:
        generator = torch.Generator().manual_seed(length)
        vectors = torch.randn(rows, length, WIDTH, generator=generator)
        mask = torch.rand(rows, length, generator=generator) < 0.6
        mask[:, -1] = True
        if not crosses:
            return Prompt(vectors, mask)
        return Prompt(vectors[:, -1:], mask[:, -1:], vectors, mask)

    return make


@pytest.fixture
def one() -> Callable[[Prompt, int], Prompt]:
    """`one(prompt, row)`: a row without its masked places."""

    def take(given: Prompt, row: int) -> Prompt:
        if given.memory is None:
            own = given.vectors[row : row + 1, given.mask[row]]
            return Prompt(own, torch.ones_like(own[..., 0], dtype=torch.bool))
        assert given.seen is not None
        own = given.memory[row : row + 1, given.seen[row]]
        seen = torch.ones_like(own[..., 0], dtype=torch.bool)
        return Prompt(given.vectors[row : row + 1], given.mask[row : row + 1], own, seen)

    return take
