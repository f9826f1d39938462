"""Random tokens with padding and absent modalities."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from polymodal.contract.batch import Tokens

# Real positions of every row; modality "b" is absent in row 1, "a" in row 2, both in row 3.
LENGTHS = {"a": [3, 5, 0, 0], "b": [2, 0, 1, 0]}


@pytest.fixture
def make_tokens() -> Callable[..., dict[str, Tokens]]:
    """`make_tokens(width=8, seed=0, lengths=LENGTHS)`: tokens of four rows, zero where masked."""

    def make(width: int = 8, seed: int = 0, lengths: dict[str, list[int]] = LENGTHS):
        generator = torch.Generator().manual_seed(seed)
        tokens = {}
        for name, real in lengths.items():
            mask = torch.arange(max(real)) < torch.tensor(real).unsqueeze(1)
            values = torch.randn(*mask.shape, width, generator=generator)
            tokens[name] = Tokens(values * mask.unsqueeze(-1), mask)
        return tokens

    return make
